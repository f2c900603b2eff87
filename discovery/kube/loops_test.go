package kube

import (
	"fmt"
	"strings"
	"testing"
)

// otherYAML is a Service default/NAME with a port 80, at the cluster IP.
func otherYAML(own, clusterIP, annotations string) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: default, annotations: {%s}},
 spec: {clusterIP: %s, clusterIPs: [%s], ports: [{port: 80}]}}`, own, annotations, clusterIP, clusterIP)
}

// atYAML is the slice of a Service default/NAME with endpoints at a port.
func atYAML(own, family string, port int, addresses ...string) string {
	var list []string
	for _, a := range addresses {
		list = append(list, fmt.Sprintf("{addresses: [%q]}", a))
	}
	return fmt.Sprintf(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %s-1, namespace: default, labels: {kubernetes.io/service-name: %s}}
addressType: %s
ports: [{port: %d}]
endpoints: [%s]`, own, own, family, port, strings.Join(list, ", "))
}

const takenOver = `eastway.dev/takeover: "true"`

// Endpoints that lead back to the proxies are not used, in whichever order the objects come, and are used when they no longer do.
func TestLoops(t *testing.T) {
	t.Parallel()
	a, b := otherYAML("a", "10.96.0.1", takenOver), otherYAML("b", "10.96.0.2", takenOver)
	atA, atB := atYAML("b", "IPv4", 80, "10.96.0.1"), atYAML("a", "IPv4", 80, "10.96.0.2")
	const (
		refusedA = "EndpointSlice default/b-1: endpoints[0].addresses[0]: 10.96.0.1:80 is an address of Service default/a and leads back to the " +
			"proxies of this cluster: calls would loop: this endpoint is not used"
		refusedB = "EndpointSlice default/a-1: endpoints[0].addresses[0]: 10.96.0.2:80 is an address of Service default/b and leads back to the " +
			"proxies of this cluster: calls would loop: this endpoint is not used"
	)
	proxy := proxySlice("p", ownNamespace, "IPv4", tunnelPort, `{addresses: [10.1.0.9], targetRef: {kind: Pod, name: p1}}`)
	for _, test := range []struct {
		name      string
		docs      []string
		endpoints []string
		problems  []string
	}{
		{"one at the other", []string{a, b, atA, atB}, nil, []string{refusedB, refusedA}},
		{"endpoints first", []string{atA, atB, a, b}, nil, []string{refusedB, refusedA}},
		{
			"one that is not taken over",
			[]string{a, otherYAML("b", "10.96.0.2", ""), atA, atB},
			[]string{"endpoint default/a:80 10.96.0.2:80 north/-"},
			nil,
		},
		{
			"no longer taken over",
			[]string{a, b, atA, atB, otherYAML("b", "10.96.0.2", "")},
			[]string{"endpoint default/a:80 10.96.0.2:80 north/-"},
			nil,
		},
		{"another port", []string{a, b, atYAML("a", "IPv4", 81, "10.96.0.2")}, []string{"endpoint default/a:80 10.96.0.2:81 north/-"}, nil},
		{
			"its own",
			[]string{a, atYAML("a", "IPv4", 80, "10.96.0.1", "10.1.1.5")},
			[]string{"endpoint default/a:80 10.1.1.5:80 north/-"},
			[]string{strings.Replace(refusedA, "default/b-1", "default/a-1", 1)},
		},
		{
			"IPv4 in IPv6",
			[]string{atYAML("a", "IPv6", 80, "::ffff:10.96.0.2"), a, b},
			nil,
			[]string{strings.Replace(refusedB, "10.96.0.2:80 is", "[::ffff:10.96.0.2]:80 is", 1)},
		},
		{
			"a derived Service",
			[]string{a, derivedYAML("shop-1", "import", 20001, 1, nil), atYAML("a", "IPv4", 80, "10.96.9.1")},
			nil,
			[]string{strings.NewReplacer("10.96.0.2", "10.96.9.1", "default/b", "default/shop").Replace(refusedB)},
		},
		{
			"a proxy",
			[]string{a, atYAML("a", "IPv4", 8080, "10.1.0.9", "10.1.1.5"), proxy},
			[]string{"endpoint default/a:80 10.1.1.5:8080 north/-"},
			[]string{"EndpointSlice default/a-1: endpoints[0].addresses[0]: 10.1.0.9:8080 is a proxy of this cluster and leads back to the " +
				"proxies of this cluster: calls would loop: this endpoint is not used"},
		},
		{
			"no longer a proxy",
			[]string{a, atYAML("a", "IPv4", 8080, "10.1.0.9"), proxy, proxySlice("p", ownNamespace, "IPv4", tunnelPort, "")},
			[]string{"endpoint default/a:80 10.1.0.9:8080 north/-"},
			nil,
		},
		{
			"metadata of a cloud, and the proxy itself",
			[]string{a, atYAML("a", "IPv4", 80, "10.1.1.5", "169.254.169.254", "127.0.0.1")},
			[]string{"endpoint default/a:80 10.1.1.5:80 north/-"},
			[]string{"EndpointSlice default/a-1: endpoints[1].addresses[0]: 169.254.169.254:80 is a link-local address, where clouds serve " +
				"metadata and credentials: this endpoint is not used, nor are 1 more of this slice"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, testConfig())
			l.apply(nodesYAML)
			var got []string
			for _, doc := range test.docs {
				l.apply(doc)
				got = about(l.state(), "endpoint ")
			}
			expect(t, "endpoints", got, test.endpoints...)
			expect(t, "problems", about(l.problems(), "EndpointSlice "), test.problems...)
		})
	}
}

// Callers at addresses of proxies' pods are proxies, but not where nodes have the addresses too.
func TestProxyAddresses(t *testing.T) {
	t.Parallel()
	l := newLab(t, testConfig())
	l.apply(nodesYAML)
	l.apply(proxySlice("a", ownNamespace, "IPv4", tunnelPort, `{addresses: [10.1.0.9], targetRef: {kind: Pod, name: p1}},
 {addresses: [10.1.0.8], targetRef: {kind: Pod, name: p2}, conditions: {ready: false}}, {addresses: [10.1.0.7]},
 {addresses: [192.0.2.1], targetRef: {kind: Pod, name: p3}}`))
	l.apply(proxySlice("b", "other", "IPv4", tunnelPort, `{addresses: [10.1.0.6], targetRef: {kind: Pod, name: p1}}`))
	if got := fmt.Sprint(l.world.flush().ProxyAddresses); got != "[10.1.0.8 10.1.0.9]" {
		t.Errorf("addresses %s", got)
	}
}
