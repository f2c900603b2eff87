package failover

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// TestConnectionRateLimit: connections beyond it are reset and reach nothing. Rules about requests do not count connections.
func TestConnectionRateLimit(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	p := rateLimit(
		perHour(2, v1alpha1.RateLimitMatch{Clusters: []string{"cn-hangzhou"}}), perHour(1, v1alpha1.RateLimitMatch{PathPrefixes: []string{"/"}}),
	)
	w := newWorld(t, policy(p), endpoints(endpoint(backend(t, func(c *net.TCPConn) {
		n.Add(1)
		answers("LIVE")(c)
	}), here)), peer("far", abroad, &fakePeer{handle: accepts("FAR")}))
	for i := range 6 {
		got, err := w.ask("hello")
		if i < 2 && (got != "LIVE got hello" || err != nil) || i >= 2 && !isReset(err) {
			t.Errorf("connection %d: %q %v", i, got, err)
		}
		w.eventually("logged", func() bool { return w.access.Len() == i+1 })
	}
	line := w.access.All()[2].ContextMap()
	if line["result"] != access.RateLimited || line["ended"] != "rate limit" || n.Load() != 2 {
		t.Errorf("%v, the endpoint got %d connections", line, n.Load())
	}
	ended := w.proxy.metrics.connections.WithLabelValues("shop/echo", access.Outbound, access.RateLimited)
	if got := testutil.ToFloat64(ended); got != 4 {
		t.Errorf("%v counted", got)
	}
	if p := w.proxy.Problems(); len(p) != 1 || !strings.Contains(p[0], "(4×") || w.log.FilterMessageSnippet("rateLimit").Len() != 1 {
		t.Errorf("status has %q", p)
	}
	w.nothingInFlight()
}

// TestStreamRateLimit: a peer's stream beyond it is refused as by a proxy that has no place for it, for at most a second; probes do not
// count.
func TestStreamRateLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, locals("LIVE", here), policy(rateLimit(
		perHour(2, v1alpha1.RateLimitMatch{Clusters: []string{"a", "b"}}), perHour(1, v1alpha1.RateLimitMatch{Clusters: []string{"b"}}),
	)))
	probe := request()
	probe.Probe = true
	for _, c := range []struct {
		header *tunnel.Header
		want   tunnel.Code
	}{
		{probe, 0},
		{request(), 0},
		{request(), 0},
		{request(), tunnelpb.Answer_CODE_OVERLOADED},
		{probe, 0},
	} {
		s := w.serve(&fakePeer{}, c.header)
		if got := refused(s); got != c.want {
			t.Errorf("%v, want %v", got, c.want)
		}
		var e *tunnel.RefusedError
		if c.want != 0 && asRefused(s.Outcome(), &e) && e.RetryAfter != time.Second {
			t.Errorf("retry after %v", e.RetryAfter)
		}
		s.Reset("done")
		w.eventually("ended", func() bool { return w.proxy.Active() == 0 })
	}
	w.eventually("logged", func() bool { return w.access.Len() == 5 })
	if line := w.access.All()[3].ContextMap(); line["result"] != access.RateLimited {
		t.Errorf("%v", line)
	}
}

// TestPeersConnectionsTakeNothing: what a peer's endpoint serves takes no token here.
func TestPeersConnectionsTakeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy(rateLimit(perHour(1, v1alpha1.RateLimitMatch{}))), endpoints(endpoint(dead(t), here)),
		peer("far", abroad, &fakePeer{handle: accepts("FAR")}))
	for range 3 {
		if got, err := w.ask("hello"); got != "FAR got hello" || err != nil {
			t.Errorf("%q %v", got, err)
		}
	}
}

// TestConnectionRateLimitAtOnce: of many connections at the same time, exactly as many are served as there are tokens.
func TestConnectionRateLimitAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy(rateLimit(perHour(3, v1alpha1.RateLimitMatch{}))), locals("LIVE", here))
	var served atomic.Int32
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			switch got, err := w.ask("hello"); {
			case got == "LIVE got hello" && err == nil:
				served.Add(1)
			case !isReset(err):
				t.Errorf("%q %v", got, err)
			}
		})
	}
	wg.Wait()
	if n := served.Load(); n != 3 {
		t.Errorf("%d served", n)
	}
	w.nothingInFlight()
}
