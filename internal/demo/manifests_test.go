package demo

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	mcsv1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

func TestManifests(t *testing.T) {
	t.Parallel()
	topo := newTopology(80)
	c := topo.cluster(foreignCluster)
	data, err := manifests(c, c.zones[1], roleProxy2)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "services.yaml.golden", string(data))
	kinds := make(map[string]int)
	for _, doc := range strings.Split(string(data), "\n---\n")[1:] {
		var meta struct {
			Kind string `json:"kind"`
		}
		if err := yaml.Unmarshal([]byte(doc), &meta); err != nil {
			t.Fatal(err)
		}
		kinds[meta.Kind]++
		into := map[string]any{
			"Service": new(corev1.Service), "EndpointSlice": new(discoveryv1.EndpointSlice),
			"ServiceExport": new(mcsv1.ServiceExport), "TrafficPolicy": new(v1alpha1.TrafficPolicy),
		}[meta.Kind]
		if err := yaml.UnmarshalStrict([]byte(doc), into); err != nil {
			t.Errorf("%s: %v", meta.Kind, err)
		}
	}
	for _, kind := range []string{"Service", "EndpointSlice", "ServiceExport", "TrafficPolicy"} {
		if kinds[kind] != len(chain()) {
			t.Errorf("%d of %s", kinds[kind], kind)
		}
	}
}

func TestTopology(t *testing.T) {
	t.Parallel()
	topo := newTopology(80)
	seen := make(map[string]string)
	var short []string
	for _, z := range topo.zones() {
		short = append(short, z.short())
		if topo.clusterOf(z.name) != z.cluster {
			t.Errorf("%s is in %s", z.name, topo.clusterOf(z.name))
		}
		addrs := map[string]string{"caller": z.addr(hostCaller).String()}
		for _, role := range chain() {
			addrs[role] = z.app(role).Addr().String()
		}
		for _, proxy := range proxyRoles() {
			addrs[proxy] = z.tunnel(proxy).Addr().String()
			for _, role := range chain() {
				addrs[role+" at "+proxy] = z.vip(proxy, role).Addr().String()
				if got := topo.proxyAt(z.vip(proxy, role).String()); got != z.process(proxy) {
					t.Errorf("%s of %s listens for %s as %q", proxy, z.name, role, got)
				}
			}
		}
		for what, addr := range addrs {
			if other, ok := seen[addr]; ok {
				t.Errorf("%s is %s and %s", addr, other, what)
			}
			seen[addr] = z.name + " " + what
		}
	}
	if got := strings.Join(short, " "); got != "h k 1a 1b" {
		t.Errorf("short names: %s", got)
	}
	if got := topo.proxyAt(topo.zones()[0].app(roleMocka).String()); got != "" {
		t.Errorf("an application's address is that of %q", got)
	}
	if topo.clusterOf("nowhere") != "" {
		t.Error("a zone that does not exist has a cluster")
	}
}
