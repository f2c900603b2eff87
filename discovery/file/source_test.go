package file

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/eastway/eastway/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen; it is never waited out when it does.
const patience = 20 * time.Second

const echoYAML = `apiVersion: v1
kind: Service
metadata: {name: echo, namespace: demo}
spec:
  clusterIP: 127.1.0.1
  ports:
  - {name: http, port: 80, targetPort: 8000}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: echo-1
  namespace: demo
  labels: {kubernetes.io/service-name: echo}
addressType: IPv4
ports: [{name: http, port: 8000}]
endpoints:
- addresses: [127.0.0.2]
  zone: cn-hangzhou-k
  conditions: {ready: false}
- addresses: [127.0.0.1]
  zone: cn-hangzhou-h
---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceExport
metadata: {name: echo, namespace: demo}
`

// site is a directory of manifests with a running Source.
type site struct {
	t       *testing.T
	dir     string
	source  *Source
	catalog *discovery.Catalog
}

func newSite(t *testing.T, dir string, change func(*Config)) *site {
	t.Helper()
	cfg := Config{Dir: dir, Cluster: "one", SPIFFEID: "spiffe://one/eastway/cluster/one", Region: "cn-hangzhou", Registerer: prometheus.NewRegistry()}
	if change != nil {
		change(&cfg)
	}
	s := &site{t: t, dir: dir, catalog: discovery.NewCatalog(nil)}
	var err error
	if s.source, err = New(cfg, s.catalog); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.source.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	s.await("first reading", func(snap *discovery.Snapshot) bool { return snap.Revision > 0 })
	return s
}

// await waits for a snapshot.
func (s *site) await(what string, ok func(*discovery.Snapshot) bool) *discovery.Snapshot {
	s.t.Helper()
	timeout := time.After(patience)
	for {
		changed := s.catalog.Changed()
		snap := s.catalog.Snapshot()
		if ok(snap) {
			return snap
		}
		select {
		case <-changed:
		case <-timeout:
			s.t.Fatalf("timed out waiting for: %s; errors: %v", what, s.source.Errors())
		}
	}
}

func (s *site) has(n discovery.ServiceName) func(*discovery.Snapshot) bool {
	return func(snap *discovery.Snapshot) bool { return snap.Services[n] != nil }
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestServiceIsFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "echo.yaml", echoYAML)
	s := newSite(t, dir, nil)
	if errs := s.source.Errors(); len(errs) > 0 {
		t.Fatal(errs)
	}
	snap := s.catalog.Snapshot()
	got := snap.Services[discovery.ServiceName{Namespace: "demo", Name: "echo"}]
	if got == nil || !got.Exported || len(got.Addresses) != 1 || got.Addresses[0] != netip.MustParseAddr("127.1.0.1") {
		t.Fatalf("service = %+v", got)
	}
	want := []discovery.Endpoint{
		{Address: netip.MustParseAddrPort("127.0.0.1:8000"), Locality: discovery.Locality{Region: "cn-hangzhou", Zone: "cn-hangzhou-h"}, Ready: true},
		{Address: netip.MustParseAddrPort("127.0.0.2:8000"), Locality: discovery.Locality{Region: "cn-hangzhou", Zone: "cn-hangzhou-k"}},
	}
	ends := got.Endpoints[80]
	if len(ends) != 2 || ends[0] != want[0] || ends[1] != want[1] {
		t.Errorf("endpoints = %+v, want %+v", ends, want)
	}
	if at := snap.Localities[netip.MustParseAddr("127.0.0.2")]; at.Zone != "cn-hangzhou-k" {
		t.Errorf("locality of 127.0.0.2 = %v", at)
	}
}

func TestFilesAreFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSite(t, dir, nil)
	echo := discovery.ServiceName{Namespace: "demo", Name: "echo"}

	write(t, dir, "echo.yaml", echoYAML)
	s.await("service after a write", s.has(echo))

	if err := os.Remove(filepath.Join(dir, "echo.yaml")); err != nil {
		t.Fatal(err)
	}
	s.await("no service after a removal", func(snap *discovery.Snapshot) bool { return snap.Services[echo] == nil })

	write(t, dir, ".echo.tmp", echoYAML)
	if err := os.Rename(filepath.Join(dir, ".echo.tmp"), filepath.Join(dir, "echo.yaml")); err != nil {
		t.Fatal(err)
	}
	s.await("service after an atomic rename", s.has(echo))
}
