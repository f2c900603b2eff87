package takeover

import (
	"net/netip"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/takeover"
	"github.com/eastway/eastway/internal/takeover/report"
)

// entryLife is ample: the agent renews.
const entryLife = 15 * time.Second

var (
	here     = report.Locality{Node: "n1", Zone: "z1", Region: "r"}
	sameZone = report.Locality{Node: "n2", Zone: "z1", Region: "r"}
	far      = report.Locality{Node: "n3", Zone: "z2", Region: "r"}
)

// The nearest live proxy answers under the cluster IP: with endpoints and without, over IPv4 and IPv6, for pods and for the node.
// Whatever dies, calls are answered; in the end through kube-proxy.
func TestNearestLiveProxy(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	client, backend := n.pod(t, "client"), n.pod(t, "backend")
	backend.answer(t, 8080, "backend")
	a, b := n.proxy(t, "a", here), n.proxy(t, "b", far)
	for _, p := range []*proxy{a, b} {
		p.serve(t, 20000, "default/shop")
		p.serve(t, 20001, "default/remote")
	}
	shop, shop6, remote := port80("10.96.0.10"), port80("fd00:10:96::10"), port80("10.96.0.11")
	n.kubeProxy(t, shop, netip.AddrPortFrom(backend.v4, 8080))
	n.kubeProxy(t, shop6, netip.AddrPortFrom(backend.v6, 8080))
	n.kubeProxy(t, remote, netip.AddrPort{})
	answers(t, client.Namespace, shop, "backend", callTimeout)
	answers(t, client.Namespace, remote, "", callTimeout)

	w := newWorld(here, a, b)
	ag := n.agent(t, entryLife, func(c *takeover.Config) { c.Source = w })
	ag.ready(t)
	shopService, remoteService := service("shop", 20000, "10.96.0.10", "fd00:10:96::10"), service("remote", 20001, "10.96.0.11")
	w.takeOver(shopService, remoteService)
	for _, address := range []netip.AddrPort{shop, shop6, remote} {
		answers(t, client.Namespace, address, "a", callTimeout)
		answers(t, n.Namespace, address, "a", callTimeout)
	}
	if _, from, err := call(t.Context(), client.Namespace, shop); err != nil || from != client.v4.String() {
		t.Errorf("the proxy takes the client for %s (%v), want its own address %s", from, err, client.v4)
	}

	t.Log("the nearest one hangs")
	began := time.Now()
	a.hung.Store(true)
	answers(t, client.Namespace, shop, "b", 5*time.Second)
	t.Logf("b answers after %s", time.Since(began))
	t.Log("both are gone")
	b.stop()
	answers(t, client.Namespace, shop, "backend", 5*time.Second)
	answers(t, client.Namespace, shop6, "backend", callTimeout)
	answers(t, client.Namespace, remote, "", callTimeout)
	if list := n.list(t); list != "" {
		t.Errorf("no proxy is alive, but there are tables:\n%s", list)
	}
	t.Log("they come back")
	b.start(t)
	answers(t, client.Namespace, remote, "b", 5*time.Second)
	a.hung.Store(false)
	answers(t, client.Namespace, remote, "a", 5*time.Second)

	t.Log("one Service is not taken over any more")
	w.takeOver(remoteService)
	answers(t, client.Namespace, shop, "backend", 5*time.Second)
	answers(t, client.Namespace, remote, "a", callTimeout)
}

// A killed agent's entries end by themselves.
func TestKilledAgentFailsOpen(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	client, backend, a := n.pod(t, "client"), n.pod(t, "backend"), n.proxy(t, "a", here)
	backend.answer(t, 8080, "backend")
	a.serve(t, 20000, "default/shop")
	shop := port80("10.96.0.10")
	n.kubeProxy(t, shop, netip.AddrPortFrom(backend.v4, 8080))
	w := newWorld(here, a)
	w.takeOver(service("shop", 20000, "10.96.0.10"))
	ag := n.agent(t, 2*time.Second, func(c *takeover.Config) { c.Source = w })
	answers(t, client.Namespace, shop, "a", 5*time.Second)
	ag.kill()
	answers(t, client.Namespace, shop, "backend", 5*time.Second)
}

// Nothing fails while an agent is replaced, and while it writes: not even for a service with a single endpoint.
func TestRestartInterruptsNothing(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	client, a := n.pod(t, "client"), n.proxy(t, "a", here)
	a.serve(t, 20000, "default/remote")
	remote := port80("10.96.0.10")
	n.kubeProxy(t, remote, netip.AddrPort{})
	w := newWorld(here, a)
	w.takeOver(service("remote", 20000, "10.96.0.10"))
	first := n.agent(t, entryLife, func(c *takeover.Config) { c.Source = w })
	answers(t, client.Namespace, remote, "a", 5*time.Second)
	stop := load(t, client, remote)
	for range 5 {
		first.end()
		w.takeOver(service("remote", 20000, "10.96.0.10")) // the next one's Source tells it
		first = n.agent(t, entryLife, func(c *takeover.Config) { c.Source = w })
		first.ready(t)
	}
	calls, errs := stop()
	if len(errs) > 0 || calls < 10 {
		t.Errorf("of %d calls %d failed: %v", calls, len(errs), errs)
	}
	t.Logf("%d calls", calls)
}
