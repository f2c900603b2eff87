package loopback

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const services = `apiVersion: v1
kind: Service
metadata: {name: shop, namespace: default}
spec: {clusterIP: 127.79.%d.2, ports: [{name: http, port: 8000}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-1, namespace: default, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
ports: [{name: http, port: 8000}]
endpoints: [{addresses: [127.79.%d.3]}]
---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceExport
metadata: {name: shop, namespace: default}
`

// Two clusters, of which one only dials.
func TestFleet(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f, err := NewFleet(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	near := &Cluster{Name: "near", Proxies: []*Proxy{{Name: "near-1", Region: "here", Zone: "a", Admin: "127.79.1.1:15000"}}}
	far := &Cluster{Name: "far", Addresses: []string{"127.79.2.1:15443"}, Proxies: []*Proxy{
		{Name: "far-1", Region: "there", Zone: "b", Listen: "127.79.2.1:15443", Admin: "127.79.2.1:15000"},
	}}
	for _, err := range []error{f.Found(ctx, near), f.Found(ctx, far), f.Trust(ctx, near, far), f.Trust(ctx, far, near)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range []*Cluster{near, far} {
		if err := f.Write(c.Proxies[0], "services.yaml", fmt.Appendf(nil, services, i+1, i+1)); err != nil {
			t.Fatal(err)
		}
		if err := f.Start(ctx, c, c.Proxies[0]); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []*Cluster{near, far} {
		if err := f.AwaitReady(ctx, c.Proxies[0]); err != nil {
			t.Fatal(err)
		}
	}
	if err := AwaitLinked(ctx, near, far, Service{"default", "shop"}); err != nil {
		t.Error(err)
	}
	if err := f.Process("far-1").End(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := f.AwaitReady(ctx, far.Proxies[0]); err == nil || !strings.Contains(err.Error(), "far-1 has ended") {
		t.Errorf("a proxy that was killed: %v", err)
	}
}

func TestCommandSaysWhy(t *testing.T) {
	t.Parallel()
	s := NewSpawner()
	defer close(s)
	_, err := s.Command(t.Context(), "sh", "-c", "echo broken >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "exit status 3: broken") {
		t.Errorf("%v", err)
	}
	p, err := s.Begin("cat", t.TempDir()+"/log", exec.CommandContext(t.Context(), "cat"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Alive(); err != nil {
		t.Error(err)
	}
	if err := p.End(syscall.SIGTERM); err != nil || p.Alive() == nil {
		t.Errorf("after SIGTERM: %v, %v", err, p.Alive())
	}
}
