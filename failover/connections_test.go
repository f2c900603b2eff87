package failover

import (
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

func maxConnections(n int32) setup {
	return policy(&v1alpha1.TrafficPolicySpec{ConnectionPool: &v1alpha1.ConnectionPool{TCP: &v1alpha1.TCPSettings{MaxConnections: &n}}})
}

// TestMaxConnections: connections beyond it are reset and reach nothing, and one that ends makes room for another.
func TestMaxConnections(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	w := newWorld(t, maxConnections(2), endpoints(endpoint(backend(t, func(c *net.TCPConn) {
		n.Add(1)
		answers("LIVE")(c)
	}), here)), peer("far", abroad, &fakePeer{handle: accepts("FAR")}))
	open := []*net.TCPConn{w.dial(), w.dial()}
	w.eventually("two connections", func() bool { return n.Load() == 2 })
	for i := range ejectAfter {
		if got, err := w.ask("hello"); !isReset(err) {
			t.Errorf("beyond the limit: %q %v", got, err)
		}
		w.eventually("logged", func() bool { return w.access.Len() == i+1 })
	}
	line := w.access.All()[0].ContextMap()
	if line["result"] != access.Limit || line["endpoint"] != "" || n.Load() != 2 {
		t.Errorf("%v, the endpoint got %d connections", line, n.Load())
	}
	for i, c := range open {
		if got, err := ask(t, c, "hello"); got != "LIVE got hello" || err != nil {
			t.Errorf("%q %v", got, err)
		}
		w.eventually("ended", func() bool { return w.access.Len() == ejectAfter+2*i+1 })
		if got, err := w.ask("again"); got != "LIVE got again" || err != nil {
			t.Errorf("%q %v", got, err)
		}
		w.eventually("ended", func() bool { return w.access.Len() == ejectAfter+2*i+2 })
	}
	ended := w.proxy.metrics.connections.WithLabelValues("shop/echo", access.Outbound, access.Limit)
	if got := testutil.ToFloat64(ended); got != ejectAfter {
		t.Errorf("%v counted", got)
	}
	if p := w.proxy.Problems(); len(p) != 1 || !strings.Contains(p[0], "maxConnections (3×") ||
		w.log.FilterMessageSnippet("maxConnections").Len() != 1 || w.log.FilterMessage("endpoint ejected").Len() > 0 {
		t.Errorf("status has %q", p)
	}
	w.nothingInFlight()
}

// TestMaxConnectionsOfStreams: a peer's stream beyond the limit is refused as by a proxy that has no place for it. Probes do not count.
func TestMaxConnectionsOfStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t, maxConnections(1), endpoints(endpoint(backend(t, nil), here)))
	probe := request()
	probe.Probe = true
	first := w.serve(&fakePeer{}, request())
	if got := refused(first); got != 0 {
		t.Fatal(got)
	}
	for _, c := range []struct {
		header *tunnel.Header
		want   tunnel.Code
	}{{probe, 0}, {request(), tunnelpb.Answer_CODE_OVERLOADED}} {
		s := w.serve(&fakePeer{}, c.header)
		if got := refused(s); got != c.want {
			t.Errorf("%v, want %v", got, c.want)
		}
		s.Reset("done")
	}
	first.Reset("done")
	w.eventually("ended", func() bool { return w.proxy.Active() == 0 })
	if got := refused(w.serve(&fakePeer{}, request())); got != 0 {
		t.Errorf("after the first has ended: %v", got)
	}
}

// TestPeersConnectionsHaveNoSlot: what a peer's endpoint serves does not count here, also when a local endpoint was tried first.
func TestPeersConnectionsHaveNoSlot(t *testing.T) {
	t.Parallel()
	far := func(in *fakeIncoming) {
		s, err := in.Accept(&tunnelpb.Answer{Code: tunnelpb.Answer_CODE_ACCEPTED, Endpoint: "FAR"})
		if err != nil {
			return
		}
		_, _ = s.Write([]byte("FAR"))
		_, _ = io.ReadAll(s)
		_ = s.CloseWrite()
	}
	w := newWorld(t, maxConnections(1), endpoints(endpoint(dead(t), here)), peer("far", abroad, &fakePeer{handle: far}))
	var open []*net.TCPConn
	for range 3 {
		c, greeting := w.dial(), make([]byte, 3)
		if _, err := io.ReadFull(c, greeting); err != nil || string(greeting) != "FAR" {
			t.Fatalf("%q %v", greeting, err)
		}
		open = append(open, c)
	}
	for _, c := range open {
		if got, err := ask(t, c, "hello"); got != "" || err != nil {
			t.Errorf("%q %v", got, err)
		}
	}
}

// TestMaxConnectionsAfterRefusal: the endpoint of a call that a peer has refused counts.
func TestMaxConnectionsAfterRefusal(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	w := newWorld(t, maxConnections(1), endpoints(endpoint(backend(t, func(c *net.TCPConn) {
		n.Add(1)
		answers("LIVE")(c)
	}), abroad)), peer("near", here, &fakePeer{handle: func(in *fakeIncoming) { _ = in.Refuse(tunnelpb.Answer_CODE_OVERLOADED, "no", 0) }}))
	first := w.dial()
	w.eventually("connected", func() bool { return n.Load() == 1 })
	if got, err := w.ask("hello"); !isReset(err) {
		t.Errorf("beyond the limit: %q %v", got, err)
	}
	if got, err := ask(t, first, "hello"); got != "LIVE got hello" || err != nil {
		t.Errorf("%q %v", got, err)
	}
}
