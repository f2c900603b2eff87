package kube

import (
	"fmt"
	"testing"
)

// proxySlice is one of the proxies' Service in a namespace, with these endpoints.
func proxySlice(own, namespace, family, port, list string) string {
	return fmt.Sprintf(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %s, namespace: %s, labels: {kubernetes.io/service-name: eastway-proxies}}
addressType: %s
ports: [{name: %s, port: 15443}]
endpoints: [%s]`, own, namespace, family, port, list)
}

// Each pod counts once, in two families and behind two Services too; not those that do not serve.
func TestProxies(t *testing.T) {
	t.Parallel()
	l := newLab(t, testConfig())
	pod := func(address, name, conditions string) string {
		return fmt.Sprintf(`{addresses: [%q], targetRef: {kind: Pod, name: %s}, conditions: {%s}}`, address, name, conditions)
	}
	serving := "ready: true, serving: true"
	if n := l.world.flush().Proxies; n != 0 {
		t.Errorf("%d proxies, want 0: it is not known", n)
	}
	l.apply(proxySlice("a", ownNamespace, "IPv4", tunnelPort,
		pod("10.1.0.1", "p1", serving)+","+pod("10.1.0.2", "p2", serving)+","+
			pod("10.1.0.3", "p3", "ready: true, serving: false")+","+pod("10.1.0.4", "p4", serving+", terminating: true")))
	l.apply(proxySlice("b", ownNamespace, "IPv6", tunnelPort, pod("fd00::1", "p1", serving)+","+pod("fd00::5", "p5", "ready: true")))
	l.apply(proxySlice("c", ownNamespace, "IPv4", "metrics", pod("10.1.0.6", "p6", serving)))
	l.apply(proxySlice("d", "other", "IPv4", tunnelPort, pod("10.1.0.7", "p7", serving)))
	if n := l.world.flush().Proxies; n != 3 {
		t.Errorf("%d proxies, want 3: p1, p2 and p5", n)
	}
	l.apply(proxySlice("a", ownNamespace, "IPv4", tunnelPort, pod("10.1.0.2", "p2", serving)))
	if n := l.world.flush().Proxies; n != 3 {
		t.Errorf("%d proxies, want 3: p1 is in the other family still", n)
	}
	l.apply(proxySlice("b", ownNamespace, "IPv6", tunnelPort, ""))
	if n := l.world.flush().Proxies; n != 1 {
		t.Errorf("%d proxies, want 1", n)
	}
}
