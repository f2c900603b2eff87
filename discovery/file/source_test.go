package file

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen; it is never waited out when it does.
const patience = time.Minute

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
	cfg := Config{
		Dir: dir, Cluster: "one", SPIFFEID: "spiffe://one/eastway/cluster/one", Region: "cn-hangzhou",
		Registerer: prometheus.NewRegistry(),
	}
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

func has(n discovery.ServiceName) func(*discovery.Snapshot) bool {
	return func(snap *discovery.Snapshot) bool { return snap.Services.Get(n) != nil }
}

func write(t testing.TB, dir, name, text string) {
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
	got := snap.Services.Get(discovery.ServiceName{Namespace: "demo", Name: "echo"})
	if got == nil || got.Export == nil || len(got.Addresses) != 1 || got.Addresses[0] != netip.MustParseAddr("127.1.0.1") {
		t.Fatalf("service = %+v", got)
	}
	want := []discovery.Endpoint{
		{Address: netip.MustParseAddrPort("127.0.0.1:8000"), Locality: discovery.Locality{
			Region: "cn-hangzhou",
			Zone:   "cn-hangzhou-h",
		}, Ready: true},
		{Address: netip.MustParseAddrPort("127.0.0.2:8000"), Locality: discovery.Locality{
			Region: "cn-hangzhou",
			Zone:   "cn-hangzhou-k",
		}},
	}
	ends := got.Endpoints[80]
	if len(ends) != 2 || ends[0] != want[0] || ends[1] != want[1] {
		t.Errorf("endpoints = %+v, want %+v", ends, want)
	}
	if at := snap.Localities.Get(netip.MustParseAddr("127.0.0.2")); at.Zone != "cn-hangzhou-k" {
		t.Errorf("locality of 127.0.0.2 = %v", at)
	}
}

func TestFilesAreFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newSite(t, dir, nil)
	echo := discovery.ServiceName{Namespace: "demo", Name: "echo"}

	write(t, dir, "echo.yaml", echoYAML)
	s.await("service after a write", has(echo))

	if err := os.Remove(filepath.Join(dir, "echo.yaml")); err != nil {
		t.Fatal(err)
	}
	s.await("no service after a removal", func(snap *discovery.Snapshot) bool { return snap.Services.Get(echo) == nil })

	write(t, dir, ".echo.tmp", echoYAML)
	if err := os.Rename(filepath.Join(dir, ".echo.tmp"), filepath.Join(dir, "echo.yaml")); err != nil {
		t.Fatal(err)
	}
	s.await("service after an atomic rename", has(echo))
}

// A mounted ConfigMap changes by the swap of one symbolic link.
func TestConfigMapSwap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	publish := func(version string, files map[string]string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			write(t, filepath.Join(dir, version), name, text)
		}
		tmp, link := filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")
		if err := os.Symlink(version, tmp); err != nil {
			t.Fatal(err)
		}
		old, _ := os.Readlink(link)
		if err := os.Rename(tmp, link); err != nil {
			t.Fatal(err)
		}
		if old != "" {
			if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish("..2026_01", map[string]string{"a.yaml": service("a", 80)})
	if err := os.Symlink("..data/a.yaml", filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, dir, nil)
	name := discovery.ServiceName{Namespace: "default", Name: "a"}
	port := func(n uint16) func(*discovery.Snapshot) bool {
		return func(snap *discovery.Snapshot) bool {
			return snap.Services.Get(name) != nil && snap.Services.Get(name).Ports[0].Port == n
		}
	}
	s.await("first version", port(80))
	publish("..2026_02", map[string]string{"a.yaml": service("a", 90)})
	s.await("second version", port(90))
	// The key goes: its link points nowhere until the kubelet removes that too.
	publish("..2026_03", map[string]string{})
	s.awaitErrors("the link points nowhere", func(errs []FileError) bool { return len(errs) == 1 })
	if !port(90)(s.catalog.Snapshot()) {
		t.Error("the last good state was lost")
	}
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	s.await("removal", func(snap *discovery.Snapshot) bool { return snap.Services.Get(name) == nil })
}

// awaitErrors waits for a reading whose errors are as wanted. What a reading found is reported after it was applied.
func (s *site) awaitErrors(what string, ok func([]FileError) bool) {
	s.t.Helper()
	timeout := time.After(patience)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !ok(s.source.Errors()) {
		select {
		case <-look.C:
		case <-timeout:
			s.t.Fatalf("timed out waiting for: %s; errors: %v", what, s.source.Errors())
		}
	}
}

func TestErrorsAreReportedOnce(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	reg := prometheus.NewRegistry()
	dir := t.TempDir()
	write(t, dir, "a.yaml", service("a", 80))
	write(t, dir, "b.yaml", service("b", 0))
	s := newSite(t, dir, func(c *Config) { c.Log, c.Registerer = zap.New(core), reg })
	isBad := func(errs []FileError) bool { return len(errs) == 1 && errs[0].File == "b.yaml" }
	s.awaitErrors("one error", isBad)
	write(t, dir, "c.yaml", service("c", 81))
	s.await("another file", has(discovery.ServiceName{Namespace: "default", Name: "c"}))
	s.awaitErrors("still one error", isBad)
	found := logs.FilterMessage("manifest is not used as it stands")
	if found.Len() != 1 {
		t.Fatalf("logged %d times: %v", found.Len(), logs.All())
	}
	fields := found.All()[0].ContextMap()
	if fields["file"] != "b.yaml" || fields["document"] != int64(1) || fields["line"] != int64(4) ||
		fields["field"] != "spec.ports[0].port" {
		t.Errorf("logged %v", fields)
	}
	if n := testutil.ToFloat64(s.source.metrics.errors); n != 1 {
		t.Errorf("eastway_discovery_file_errors = %v", n)
	}
	write(t, dir, "b.yaml", service("b", 82))
	s.awaitErrors("no error", func(errs []FileError) bool { return len(errs) == 0 })
	if n, err := testutil.GatherAndCount(reg, "eastway_discovery_reloads_total"); err != nil || n != 3 {
		t.Errorf("results counted: %d, %v", n, err)
	}
}

func TestDirectoryVanishesAndReturns(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "manifests")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "a.yaml", service("a", 80))
	s := newSite(t, dir, nil)
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	s.awaitErrors("the directory is gone", func(errs []FileError) bool { return len(errs) == 1 })
	name := discovery.ServiceName{Namespace: "default", Name: "a"}
	if s.catalog.Snapshot().Services.Get(name) == nil {
		t.Error("the last good state was lost")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "b.yaml", service("b", 80))
	s.await("the new directory", has(discovery.ServiceName{Namespace: "default", Name: "b"}))
}

func TestRunWithoutDirectory(t *testing.T) {
	t.Parallel()
	s, err := New(Config{Dir: filepath.Join(t.TempDir(), "missing")}, discovery.NewCatalog(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "create the directory") {
		t.Errorf("err = %v", err)
	}
}

// Reload has the directory read at once, where the kernel reports no changes.
func TestReloadReadsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Dir: t.TempDir()}, discovery.NewCatalog(nil))
		if err != nil {
			t.Fatal(err)
		}
		f := &follower{dir: s.cfg.Dir, log: s.log, again: s.again}
		s.Reload()
		began := time.Now()
		if !f.next(t.Context()) || time.Since(began) != 0 {
			t.Errorf("read after %s", time.Since(began))
		}
		if err := f.close(); err != nil {
			t.Error(err)
		}
	})
}
