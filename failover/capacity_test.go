package failover

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

func capacityOf(n uint32) setup {
	return policy(&v1alpha1.TrafficPolicySpec{Capacity: &v1alpha1.Capacity{MaxInFlightPerEndpoint: n}})
}

// TestStreamsBeyondCapacity: a peer's stream that no endpoint has room for is refused at once, with how long to wait; probes are answered. An
// operator sees it.
func TestStreamsBeyondCapacity(t *testing.T) {
	t.Parallel()
	w := newWorld(t, locals("LIVE", here), capacityOf(2))
	var open []*fakeStream
	probe := request()
	probe.Probe = true
	for i, want := range []tunnel.Code{0, 0, tunnelpb.Answer_CODE_OVERLOADED, tunnelpb.Answer_CODE_OVERLOADED} {
		s := w.serve(&fakePeer{}, request())
		if got := refused(s); got != want {
			t.Errorf("stream %d: %v, want %v", i, got, want)
		}
		var e *tunnel.RefusedError
		if want != 0 && asRefused(s.Outcome(), &e) && (e.RetryAfter != time.Second || !strings.Contains(e.Reason, "capacity")) {
			t.Errorf("%q, retry after %v", e.Reason, e.RetryAfter)
		}
		open = append(open, s)
	}
	probed := w.serve(&fakePeer{}, probe)
	if got := refused(probed); got != 0 {
		t.Errorf("a probe: %v", got)
	}
	probed.Reset("done")
	w.eventually("logged", func() bool { return w.access.Len() == 3 })
	if line := w.access.All()[0].ContextMap(); line["result"] != access.Limit {
		t.Errorf("%v", line)
	}
	if n := testutil.ToFloat64(w.proxy.metrics.full.WithLabelValues("shop/echo", "capacity")); n != 2 {
		t.Errorf("%v counted", n)
	}
	const remedy = "raise capacity.maxInFlightPerEndpoint"
	if p := w.proxy.Problems(); len(p) != 1 || !strings.Contains(p[0], remedy) || !strings.Contains(p[0], "(2×") {
		t.Errorf("status has %q", p)
	}
	if n := w.log.FilterMessageSnippet("as endpoints can take").Len(); n != 1 {
		t.Errorf("%d lines in the log", n)
	}
	for _, s := range open {
		s.Reset("done")
	}
	w.eventually("ended", func() bool { return w.proxy.Active() == 0 })
	if got := refused(w.serve(&fakePeer{}, request())); got != 0 {
		t.Errorf("when there is room again: %v", got)
	}
}

func TestCapacityMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, locals("LIVE", here), capacityOf(1), peer("far", abroad, &fakePeer{handle: accepts("FAR")}))
	reg := prometheus.NewRegistry()
	if err := registerCapacities(reg, w.proxy.table); err != nil {
		t.Fatal(err)
	}
	open := func(n int) *net.TCPConn {
		c := w.dial()
		w.eventually("it is open", func() bool {
			all := w.proxy.Endpoints(w.service.Name)
			return all[0].Active+all[1].Active == n
		})
		return c
	}
	first, second := open(1), open(2)
	const want = `
		# HELP eastway_failover_capacity Calls that this proxy may have in flight at a cluster's endpoints, where a capacity is declared.
		# TYPE eastway_failover_capacity gauge
		eastway_failover_capacity{destination_cluster="cn-hangzhou",port="8000",service="shop/echo"} 1
		# HELP eastway_failover_in_flight Calls that this proxy has in flight at a cluster's endpoints, where a capacity is declared.
		# TYPE eastway_failover_in_flight gauge
		eastway_failover_in_flight{destination_cluster="cn-hangzhou",port="8000",service="shop/echo"} 1
		# HELP eastway_failover_spilled_total Calls that went further away because nearer endpoints had no room, where a capacity is declared.
		# TYPE eastway_failover_spilled_total counter
		eastway_failover_spilled_total{port="8000",service="shop/echo"} 1
	`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	reset(first)
	reset(second)
}

// TestConnectionsBeyondCapacity: an application's connection goes to a peer that has room, and is reset where none has.
func TestConnectionsBeyondCapacity(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options []setup
		last    string // what the third connection gets; empty: a reset
	}{
		"alone":  {},
		"a peer": {[]setup{peer("far", abroad, &fakePeer{handle: accepts("FAR")})}, "FAR got hello"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			held := make(chan struct{})
			at := backend(t, func(c *net.TCPConn) { <-held; answers("LIVE")(c) })
			w := newWorld(t, append(c.options, endpoints(endpoint(at, here)), capacityOf(2))...)
			first, second := w.dial(), w.dial() // which fit
			w.eventually("two are open", func() bool { return w.proxy.Endpoints(w.service.Name)[0].Active == 2 })
			if got, err := w.ask("hello"); got != c.last || (err == nil) != (c.last != "") || err != nil && !isReset(err) {
				t.Errorf("%q %v", got, err)
			}
			close(held)
			for _, conn := range []*net.TCPConn{first, second} {
				if got, err := ask(t, conn, "hello"); got != "LIVE got hello" || err != nil {
					t.Errorf("%q %v", got, err)
				}
			}
		})
	}
}
