package kube

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/bubble"
)

const (
	shopYAML = `{apiVersion: v1, kind: Service, metadata: {name: shop, namespace: default},
 spec: {clusterIP: 10.96.0.10, clusterIPs: [10.96.0.10, "fd96::10"],
  ports: [{name: http, port: 80, targetPort: web}, {name: dns, port: 53, protocol: UDP}]}}`
	shopSlice = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-abc, namespace: default, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: dns, port: 5353, protocol: UDP}]
endpoints:
- {addresses: [10.1.1.5], nodeName: n1, zone: n-1, conditions: {ready: true}}
- {addresses: [10.1.2.5], nodeName: n2, conditions: {ready: false}}`
	shopSlice6 = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-def, namespace: default, labels: {kubernetes.io/service-name: shop}}
addressType: IPv6
ports: [{name: http, port: 8080}]
endpoints:
- {addresses: ["fd00:1::5"], nodeName: n1, conditions: {ready: true}}`
	shopExport = `{apiVersion: multicluster.x-k8s.io/v1beta1, kind: ServiceExport, metadata: {name: shop, namespace: default}}`
)

// derivedYAML is a Service that the controller made for default/shop, with one port on the proxies for port 80.
func derivedYAML(own, kind string, target any, created int, more map[string]string) string {
	labels := map[string]string{
		"eastway.dev/derived": kind, "eastway.dev/service-namespace": "default", "eastway.dev/service-name": "shop",
	}
	maps.Copy(labels, more)
	return fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: %s, creationTimestamp: "2026-01-01T00:00:%02dZ", labels: %s},
 spec: {clusterIP: 10.96.9.%d, ports: [{name: http, port: 80, targetPort: %v}, {name: dns, port: 53, protocol: UDP, targetPort: 20999}]}}`,
		own, ownNamespace, created, labeled(labels), created, target)
}

// annotated is a Service with that protocol, and with an annotation that Eastway does not read.
func annotated(service, protocol string) string {
	return strings.Replace(service, "metadata: {", `metadata: {annotations: {example.com/own: kept, eastway.dev/protocol: "`+protocol+`"}, `, 1)
}

// Of the annotations of a Service those stay that the catalog needs.
func TestTrimmedAnnotations(t *testing.T) {
	t.Parallel()
	l := newLab(t, testConfig())
	l.apply(strings.Replace(annotated(shopYAML, "http"), "example.com/own: kept",
		`example.com/own: kept, eastway.dev/takeover: "true", eastway.dev/proxy-protocol: v2`, 1))
	got := l.world.services[name{Namespace: "default", Name: "shop"}].Annotations
	want := map[string]string{"eastway.dev/protocol": "http", "eastway.dev/takeover": "true", "eastway.dev/proxy-protocol": "v2"}
	if !maps.Equal(got, want) {
		t.Errorf("annotations %v, want %v", got, want)
	}
}

// Of those of a ServiceExport, the ones about Peers.
func TestTrimmedExportAnnotations(t *testing.T) {
	t.Parallel()
	e := &mcsv1beta1.ServiceExport{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{
		"eastway.dev/export-to": "b", "eastway.dev/export-to-dry-run": "true", "x": "y",
	}}}
	trimmed, _ := trimExport(e)
	if got := trimmed.GetAnnotations(); !maps.Equal(got, map[string]string{"eastway.dev/export-to": "b", "eastway.dev/export-to-dry-run": "true"}) {
		t.Errorf("annotations %v", got)
	}
}

func TestServices(t *testing.T) {
	t.Parallel()
	endpoints := []string{
		"endpoint default/shop:80 10.1.1.5:8080 north/n-1",
		"endpoint default/shop:80 10.1.2.5:8080 north/n-2 unready",
	}
	const (
		plain    = "service default/shop http:80/TCP/http dns:53/UDP at [10.96.0.10 fd96::10]"
		exported = plain + " exported"
	)
	takenOver := strings.Replace(shopYAML, "metadata: {", `metadata: {annotations: {eastway.dev/takeover: "true"}, `, 1)
	imported := derivedYAML("shop-1", "import", 20001, 1, nil)
	http := annotated(shopYAML, "http")
	const tcpPort = "service default/shop http:80/TCP dns:53/UDP at [10.96.0.10 fd96::10"
	const httpPort = "service default/shop http:80/TCP/http dns:53/UDP at [10.96.0.10 fd96::10"
	for _, test := range []struct {
		name string
		docs []string
		want []string
	}{
		{"one that is none of ours", []string{shopYAML, shopSlice}, nil},
		{"exported", []string{shopYAML, shopSlice, shopExport}, append(endpoints, exported)},
		{"in any order", []string{shopExport, shopSlice, shopYAML}, append(endpoints, exported)},
		{"both families", []string{shopYAML, shopSlice6, shopExport}, []string{
			"endpoint default/shop:80 [fd00:1::5]:8080 north/n-1", exported,
		}},
		{"taken over", []string{takenOver, shopSlice}, append(endpoints, plain)},
		{"no longer taken over", []string{takenOver, shopYAML, shopSlice}, nil},
		{"without endpoints", []string{shopYAML, shopExport}, []string{exported}},
		{"exported before it is there", []string{shopExport, shopSlice}, nil},
		{"an alias", []string{
			`{apiVersion: v1, kind: Service, metadata: {name: shop, namespace: default}, spec: {type: ExternalName, externalName: example.com}}`,
			shopExport,
		}, nil},
		{"HTTP, exported", []string{http, shopExport}, []string{httpPort + "] exported"}},
		{"HTTP of one port", []string{annotated(shopYAML, "80=h2c"), shopExport}, []string{httpPort + "] exported"}},
		{"no longer HTTP", []string{http, annotated(shopYAML, "tcp"), shopExport}, []string{tcpPort + "] exported"}},
		{"HTTP, no longer annotated", []string{annotated(shopYAML, "tcp"), shopYAML, shopExport}, []string{exported}},
		{"HTTP of a port that is not there", []string{http, annotated(shopYAML, "90=http"), shopExport}, []string{httpPort + "] exported"}},
		{"HTTP, imported", []string{imported, http}, []string{
			"listener default/shop [::]:20001 for 80 clusterset", httpPort + " 10.96.9.1]",
		}},
		{"HTTP alone makes none of ours", []string{http}, nil},
		{"imported only", []string{imported}, []string{
			"listener default/shop [::]:20001 for 80 clusterset", "service default/shop at [10.96.9.1]",
		}},
		{"imported, with an order", []string{
			strings.Replace(imported, "metadata: {", "metadata: {annotations: {eastway.dev/precedence: 'north,south'}, ", 1),
		}, []string{
			"listener default/shop [::]:20001 for 80 clusterset", "service default/shop at [10.96.9.1] by [north south]",
		}},
		{"imported and had", []string{imported, shopYAML}, []string{
			"listener default/shop [::]:20001 for 80 clusterset",
			"service default/shop http:80/TCP/http dns:53/UDP at [10.96.0.10 fd96::10 10.96.9.1]",
		}},
		{"all kinds of derived Services", []string{
			imported, derivedYAML("shop-2", "takeover", 20002, 2, nil),
			derivedYAML("shop-3", "pod", 20003, 3, map[string]string{"eastway.dev/cluster": "there", "eastway.dev/hostname": "db-0"}),
		}, []string{
			"listener default/shop [::]:20001 for 80 clusterset", "listener default/shop [::]:20002 for 80",
			"listener default/shop [::]:20003 for 80 pod there/db-0", "service default/shop at [10.96.9.1]",
		}},
		{"a derived Service somewhere else", []string{strings.Replace(imported, "namespace: "+ownNamespace, "namespace: default", 1)}, nil},
		{"slices that Eastway or its Services have", []string{
			shopYAML, shopExport,
			strings.Replace(shopSlice, "labels: {", "labels: {eastway.dev/derived: import, ", 1),
			strings.Replace(strings.Replace(shopSlice, "shop-abc", "b", 1), "labels: {",
				"labels: {endpointslice.kubernetes.io/managed-by: "+managedBy+", ", 1),
		}, []string{exported}},
		{"a slice of names", []string{shopYAML, shopExport, strings.Replace(shopSlice, "IPv4", "FQDN", 1)}, []string{exported}},
		{"a headless one", []string{
			strings.Replace(shopYAML, `clusterIP: 10.96.0.10, clusterIPs: [10.96.0.10, "fd96::10"]`, "clusterIP: None, clusterIPs: [None]", 1),
			strings.Replace(shopSlice, "nodeName: n1,", "nodeName: n1, hostname: a, ", 1), shopExport,
		}, []string{
			"endpoint default/shop:80 10.1.1.5:8080 north/n-1 a", "endpoint default/shop:80 10.1.2.5:8080 north/n-2 unready 10-1-2-5",
			"service default/shop http:80/TCP/http dns:53/UDP exported",
		}},
	} {
		l := newLab(t, testConfig())
		l.apply(join(append([]string{nodesYAML}, test.docs...)...))
		expect(t, test.name, about(l.state(), "service", "endpoint", "listener"), test.want...)
		l.apply(join(test.docs...))
		expect(t, test.name+", applied again", about(l.state(), "service", "endpoint", "listener"), test.want...)
		l.remove(join(test.docs...))
		expect(t, test.name+", removed", about(l.state(), "service", "endpoint", "listener", "caller 10"))
		if len(l.world.derived.of)+len(l.world.derived.claims)+len(l.world.slices)+len(l.world.problems) > 0 {
			t.Errorf("%s: something stays when all is gone: %+v", test.name, l.world)
		}
	}
}

// Two derived Services want one port: the older one has it, and the other one gets it later.
func TestListenerIsTaken(t *testing.T) {
	t.Parallel()
	l := newLab(t, testConfig())
	older := derivedYAML("z", "import", 20001, 1, nil)
	other := strings.Replace(derivedYAML("a", "import", 20001, 2, nil), `service-name: "shop"`, `service-name: "cart"`, 1)
	l.apply(join(other, older))
	expect(t, "listeners", about(l.state(), "listener"), "listener default/shop [::]:20001 for 80 clusterset")
	expect(t, "problems", l.problems(), "Service eastway-system/a: spec.ports: port 20001 on the proxies is already that of Service "+
		"eastway-system/z: port 80 of default/cart is not listened for here")
	l.remove(older)
	expect(t, "listeners, the older one gone", about(l.state(), "listener"), "listener default/cart [::]:20001 for 80 clusterset")
	expect(t, "problems, the older one gone", l.problems())
}

// Nodes and endpoints come in any order, and nodes change.
func TestPlacesFollowNodes(t *testing.T) {
	t.Parallel()
	l := newLab(t, testConfig())
	far := strings.NewReplacer("10.1.1.5", "10.9.9.9", "shop", "far").Replace(shopSlice) // not in its node's network
	l.apply(join(shopYAML, shopSlice, shopExport, far))
	expect(t, "without nodes", about(l.state(), "endpoint", "caller", "network"),
		"caller 10.1.1.5 -/n-1", "caller 10.1.2.5 -/-", "caller 10.9.9.9 -/n-1",
		"endpoint default/shop:80 10.1.1.5:8080 -/n-1", "endpoint default/shop:80 10.1.2.5:8080 -/- unready")
	l.apply(nodesYAML)
	expect(t, "with nodes", about(l.state(), "endpoint", "caller", "network"),
		"caller 10.9.9.9 north/n-1", "caller 192.0.2.1 north/n-1", "caller 192.0.2.2 north/n-2",
		"endpoint default/shop:80 10.1.1.5:8080 north/n-1", "endpoint default/shop:80 10.1.2.5:8080 north/n-2 unready",
		"network 10.1.1.0/24 north/n-1", "network 10.1.2.0/24 north/n-2", "network fd00:1::/64 north/n-1")
	l.apply(strings.ReplaceAll(nodesYAML, "n-2", "n-3"))
	expect(t, "a node moved", about(l.state(), "endpoint", "caller", "network"),
		"caller 10.9.9.9 north/n-1", "caller 192.0.2.1 north/n-1", "caller 192.0.2.2 north/n-3",
		"endpoint default/shop:80 10.1.1.5:8080 north/n-1", "endpoint default/shop:80 10.1.2.5:8080 north/n-3 unready",
		"network 10.1.1.0/24 north/n-1", "network 10.1.2.0/24 north/n-3", "network fd00:1::/64 north/n-1")
	l.remove(far)
	expect(t, "pods gone", about(l.state(), "caller"), "caller 192.0.2.1 north/n-1", "caller 192.0.2.2 north/n-3")
	l.remove(nodesYAML)
	expect(t, "nodes gone", about(l.state(), "endpoint", "caller", "network"),
		"caller 10.1.1.5 -/n-1", "caller 10.1.2.5 -/-",
		"endpoint default/shop:80 10.1.1.5:8080 -/n-1", "endpoint default/shop:80 10.1.2.5:8080 -/- unready")
}

func TestNetworksDoNotOverlap(t *testing.T) {
	t.Parallel()
	l := newLab(t, testConfig())
	node := func(own, zone, cidrs string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: Node, metadata: {name: %s, labels: {topology.kubernetes.io/zone: %q}}, spec: {podCIDRs: [%s]}}",
			own, zone, cidrs)
	}
	l.apply(join(node("a", "z1", "10.0.1.7/24"), node("b", "z2", "10.0.0.0/16"), node("c", "z3", "10.1.0.0/16, fd00::/64, nonsense"),
		node("d", "", "10.2.0.0/16"), node("e", "z5", "10.0.0.0/24")))
	expect(t, "networks", about(l.state(), "network"), "network 10.0.0.0/16 -/z2", "network 10.1.0.0/16 -/z3", "network fd00::/64 -/z3")
}

// What is not in a cluster of its own region is where the own node is.
func TestOwnRegionIsTheDefault(t *testing.T) {
	t.Parallel()
	bare := `{apiVersion: v1, kind: Node, metadata: {name: n2}, spec: {podCIDRs: [10.1.2.0/24]}}`
	for region, want := range map[string]string{"": "north/-", "own": "own/-"} {
		cfg := testConfig()
		cfg.Region = region
		l := newLab(t, cfg)
		if at, ok := l.Locality(); ok {
			t.Errorf("the own node is at %s before it is known", at)
		}
		l.apply(join(nodesYAML, bare))
		expect(t, "networks", about(l.state(), "network 10.1.2"), "network 10.1.2.0/24 "+want)
		if at, ok := l.Locality(); !ok || at.String() != "north/n-1" {
			t.Errorf("the own node is at %s, %v", at, ok)
		}
	}
}

// There is room for so many services; one that is left out comes in when another leaves.
func TestTooManyServices(t *testing.T) {
	t.Parallel()
	l := newLab(t, testConfig())
	l.world.most = 2
	var docs []string
	for _, n := range []string{"a", "b", "c"} {
		docs = append(docs, strings.ReplaceAll(shopYAML, "shop", n), strings.ReplaceAll(shopExport, "shop", n))
	}
	l.apply(join(docs...))
	const rest = " http:80/TCP/http dns:53/UDP at [10.96.0.10 fd96::10] exported"
	expect(t, "services", about(l.state(), "service"), "service default/a"+rest, "service default/b"+rest)
	expect(t, "problems", l.problems(), "Service: more than 2 services are relevant to Eastway: 1 of them are ignored")
	l.remove(docs[1])
	expect(t, "services, one gone", about(l.state(), "service"), "service default/b"+rest, "service default/c"+rest)
	expect(t, "problems, one gone", l.problems())
}

// An update is never changed later, and shares what did not change.
func TestMapsAreLeftAlone(t *testing.T) {
	t.Parallel()
	l := newLab(t, testConfig())
	l.apply(join(nodesYAML, shopYAML, shopSlice, shopExport))
	first := l.world.flush()
	was := describe(first)
	again := l.world.flush()
	if first.Services != again.Services || first.Localities != again.Localities || first.Policies != again.Policies ||
		!sameMap(first.Peers, again.Peers) {
		t.Error("maps are copied without a change")
	}
	shop := first.Services.Get(name{Namespace: "default", Name: "shop"})
	l.apply(join(strings.ReplaceAll(shopYAML, "shop", "cart"), strings.ReplaceAll(shopExport, "shop", "cart"),
		strings.NewReplacer("shop", "cart", "10.1.1.5", "10.9.9.9").Replace(shopSlice), peerYAML("b", 1)))
	next := l.world.flush()
	if next.Services.Get(shop.Name) != shop {
		t.Error("a service was copied without a change")
	}
	if next.Services.Len() != 2 || next.Localities.Len() != first.Localities.Len()+1 || len(next.Peers) != 1 {
		t.Errorf("state %q", describe(next))
	}
	expect(t, "the earlier update", describe(first), was...)
	l.remove(join(nodesYAML, shopYAML, shopSlice))
	l.world.flush()
	expect(t, "the earlier update", describe(first), was...)
}

// While the control plane is out of touch with a node, and until the kubelet has had time to put things right, its report that a
// pod there is not ready does not count, if nothing else is ready.
func TestLostNodes(t *testing.T) {
	t.Parallel()
	const (
		asSaid  = "endpoint default/shop:80 10.1.2.5:8080 north/n-2 unready"
		anyway  = "endpoint default/shop:80 10.1.2.5:8080 north/n-2"
		lostAt1 = "endpoint default/shop:80 10.1.1.5:8080 north/n-1"
	)
	node2 := func(status string) string {
		return strings.Replace(nodesYAML, "{type: InternalIP, address: 192.0.2.2}]",
			"{type: InternalIP, address: 192.0.2.2}], conditions: [{type: MemoryPressure, status: False}, {type: Ready, status: \""+status+"\"}]", 1)
	}
	unready := strings.Replace(shopSlice, "ready: true", "ready: false", 1)
	leaving := strings.Replace(unready, "nodeName: n2, conditions: {ready: false}",
		"nodeName: n2, conditions: {ready: false, serving: false, terminating: true}", 1)
	synctest.Test(t, func(t *testing.T) {
		updates := make(chan []string, 1)
		followed(t, func(l *lab) {
			l.sink = sinkFunc(func(local discovery.Local) {
				select {
				case <-updates:
				default:
				}
				updates <- about(describe(local), "endpoint")
			})
			look := func(what string, want ...string) {
				t.Helper()
				bubble.Pass(2 * maxDebounce)
				select {
				case got := <-updates:
					expect(t, what, got, want...)
				default:
					t.Errorf("%s: no update", what)
				}
			}
			l.list(true)
			l.apply(join(shopYAML, shopSlice, shopExport, node2("True")))
			look("a node in touch", lostAt1, asSaid)
			l.apply(node2("Unknown"))
			look("another one is ready", lostAt1, asSaid)
			l.apply(unready)
			look("nothing is ready", lostAt1+" unready", anyway)
			l.apply(leaving)
			look("and it leaves", lostAt1+" unready")
			l.apply(join(unready, node2("True")))
			look("in touch again", lostAt1+" unready", anyway)
			bubble.Pass(readinessSettle)
			look("for a while", lostAt1+" unready", asSaid)
		})
	})
}

type sinkFunc func(discovery.Local)

func (f sinkFunc) SetLocal(l discovery.Local) { f(l) }
