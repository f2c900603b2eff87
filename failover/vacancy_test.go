package failover

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/tunnel"
)

// refuses: nothing listens at the service's address.
func (w *world) refuses() {
	w.t.Helper()
	if c, err := w.connect(); !errors.Is(err, syscall.ECONNREFUSED) {
		w.t.Errorf("a caller met %v, %v", c, err)
	}
}

// vacant waits until the only listener is closed because nothing serves, or open.
func (w *world) vacant(is bool) {
	w.t.Helper()
	w.eventually("as it is served", func() bool { return w.listeners()[0].Vacant == is })
	if is {
		w.refuses()
		return
	}
	w.eventually("answered", func() bool {
		got, err := w.ask("hi")
		return err == nil && got == "LIVE got hi"
	})
}

// TestNothingServes: where no endpoint could take a connection it is refused, as at an address where nothing listens. As soon as there is
// one, it is answered.
func TestNothingServes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.vacant(true)
	live := endpoint(backend(t, answers("LIVE")), here)
	set := func(at ...discovery.Endpoint) {
		w.service.Endpoints = map[uint16][]discovery.Endpoint{servicePort: at}
		w.catalog.set(w.snapshot())
	}
	for range 2 {
		set(live)
		w.vacant(false)
		notReady := live
		notReady.Ready = false
		set(notReady)
		w.vacant(true)
	}
	probe, err := w.proxy.Probe(t.Context(), status.ProbeQuery{Namespace: "shop", Name: "echo", Timeout: patience})
	if err != nil || probe.Result != access.NoEndpoint || probe.Error == "" || probe.Port != servicePort || probe.Listener == "" {
		t.Errorf("probed: %+v, %v", probe, err)
	}
	if n := testutil.ToFloat64(w.proxy.metrics.vacant); n != 1 {
		t.Errorf("counted %v", n)
	}
	if n := w.log.FilterMessage("nothing can serve the service, its listener is closed: callers are refused").Len(); n != 2 {
		t.Errorf("logged %d times", n)
	}
}

// TestFoundDead: all endpoints refuse, as calls and probes find. Callers are refused until a probe finds that one is back.
func TestFoundDead(t *testing.T) {
	t.Parallel()
	one, two := freshAddress(), freshAddress()
	w := newWorld(t, endpoints(endpoint(netip.AddrPortFrom(one, servicePort), here), endpoint(netip.AddrPortFrom(two, servicePort), beside)))
	w.eventually("refused", func() bool {
		_, err := w.ask("hi")
		if err == nil || !isReset(err) && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("asked: %v", err)
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	w.vacant(true)
	for _, e := range w.proxy.Endpoints(echoName) {
		if e.Status != status.FailedProbes {
			t.Errorf("%s is %s", e.Address, e.Status)
		}
	}
	if p := w.proxy.Problems(); len(p) != 1 || !strings.Contains(p[0], "no endpoint or peer takes connections, as probes find") {
		t.Errorf("problems: %q", p)
	}
	ln, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(two, servicePort)))
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, ln, answers("LIVE"))
	w.vacant(false)
}

// TestNoPeerServes: the only endpoints are a peer's, which cannot be reached for a while.
func TestNoPeerServes(t *testing.T) {
	t.Parallel()
	p := &fakePeer{handle: accepts("LIVE")}
	w := newWorld(t, peer("a", here, p))
	w.vacant(false)
	up := p.state
	for range 2 {
		w.tunnels.set("a", tunnel.PeerState{})
		w.vacant(true)
		w.tunnels.set("a", up)
		w.vacant(false)
	}
}
