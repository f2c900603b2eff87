package failover

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

func request() *tunnel.Header {
	return &tunnel.Header{
		Id: 1, Namespace: "shop", Service: "echo", Port: servicePort, Protocol: "TCP", Caller: "10.1.1.1:1234",
		CallerLocality: &tunnelpb.Locality{Region: abroad.Region, Zone: abroad.Zone}, Attempts: 5, Visited: []string{"a"}, TimeoutMs: 5000,
	}
}

// serve has the proxy serve a stream that cluster "a" opens.
func (w *world) serve(p *fakePeer, h *tunnel.Header) *fakeStream {
	w.t.Helper()
	p.handle = func(in *fakeIncoming) { w.proxy.ServeStream(in) }
	p.replicas = []string{"self"}
	p.state.Usable = true
	from := &fakeTunnels{self: "a", ctx: w.tunnels.ctx, peers: map[string]*fakePeer{"self": p}}
	s, err := from.Open(w.t.Context(), "self", h, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(from.wg.Wait)
	w.t.Cleanup(func() { s.Reset("the test is over") })
	return s.(*fakeStream)
}

// refused waits for the answer; 0 is acceptance.
func refused(s *fakeStream) tunnel.Code {
	select {
	case <-s.Answered():
	case <-time.After(patience):
		return -1
	}
	var e *tunnel.RefusedError
	switch err := s.Outcome(); {
	case err == nil:
		return 0
	case asRefused(err, &e):
		return e.Code
	default:
		return -2
	}
}

func asRefused(err error, e **tunnel.RefusedError) bool {
	r, ok := err.(*tunnel.RefusedError) //nolint:errorlint // as the fake set it
	*e = r
	return ok
}

func TestServeStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, locals("DEAD", here, "LIVE", beside))
	s := w.serve(&fakePeer{}, request())
	_, _ = io.WriteString(s, "hi")
	_ = s.CloseWrite()
	if got, err := io.ReadAll(s); err != nil || string(got) != "LIVE got hi" {
		t.Fatalf("got %q, %v", got, err)
	}
	a := s.Answer()
	if w.names[a.GetEndpoint()] != "LIVE" || a.GetEndpointLocality().GetZone() != beside.Zone {
		t.Errorf("answer %v", a)
	}
	line := w.line()
	for field, want := range map[string]any{
		"direction": "inbound", "caller": "10.1.1.1:1234", "caller_cluster": "a", "caller_locality": abroad.String(),
		"peer_address": "198.51.100.7:443",
		"result":       "ok", "ended": "peer closed", "bytes_in": int64(2),
	} {
		if line[field] != want {
			t.Errorf("%s is %v, want %v", field, line[field], want)
		}
	}
	if got := w.named(results(line)); !slices.Equal(got, []string{"DEAD refused", "LIVE accepted"}) {
		t.Errorf("attempts %q", got)
	}
}

// TestServeStreamAffinity: a client of another cluster stays with its endpoint whichever replica it comes through.
func TestServeStreamAffinity(t *testing.T) {
	t.Parallel()
	at := []discovery.Endpoint{endpoint(backend(t, answers("one")), here), endpoint(backend(t, answers("two")), beside)}
	for client := range 4 {
		var answers []string
		for _, zone := range []discovery.Locality{here, beside} {
			w := newWorld(t, endpoints(at...), func(w *world, c *Config) {
				w.service.Spec.SessionAffinity = "ClientIP"
				c.Locality = zone
			})
			h := request()
			h.Caller = fmt.Sprintf("10.1.1.%d:1234", client)
			s := w.serve(&fakePeer{}, h)
			_ = s.CloseWrite()
			got, err := io.ReadAll(s)
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, string(got))
		}
		if answers[0] != answers[1] {
			t.Errorf("client %d: %q", client, answers)
		}
	}
}

func TestServeStreamRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 10000)
	w := newWorld(t, locals("DEAD", here, "LIVE", beside), peer("b", abroad, &fakePeer{handle: accepts("b")}), policy(nil))
	hidden := w.snapshot()
	secret := discovery.ServiceName{Namespace: "shop", Name: "secret"}
	hidden.Services = hidden.Services.With(secret, &discovery.Service{
		Name: secret, Ports: w.service.Ports, Endpoints: w.service.Endpoints,
	})
	lonely := discovery.ServiceName{Namespace: "shop", Name: "lonely"} // only a peer has it: no second hop
	hidden.Services = hidden.Services.With(lonely, &discovery.Service{
		Name: lonely, Export: &discovery.Export{}, Ports: w.service.Ports, Peers: w.service.Peers,
	})
	w.catalog.set(hidden)
	w.eventually("applied", func() bool { return w.proxy.table.Snapshot().Services.Len() == 3 })
	for name, tt := range map[string]struct {
		change func(h *tunnel.Header)
		want   tunnel.Code
	}{
		"unknown":           {func(h *tunnel.Header) { h.Service = "none" }, tunnelpb.Answer_CODE_NOT_FOUND},
		"not exported":      {func(h *tunnel.Header) { h.Service = "secret" }, tunnelpb.Answer_CODE_NOT_FOUND},
		"another port":      {func(h *tunnel.Header) { h.Port = 1 }, tunnelpb.Answer_CODE_NOT_FOUND},
		"a port over 65535": {func(h *tunnel.Header) { h.Port = 1<<16 + servicePort }, tunnelpb.Answer_CODE_NOT_FOUND},
		"a long name":       {func(h *tunnel.Header) { h.Service, h.Caller = long, long }, tunnelpb.Answer_CODE_NOT_FOUND},
		"UDP":               {func(h *tunnel.Header) { h.Protocol = "UDP" }, tunnelpb.Answer_CODE_INVALID},
		"been here":         {func(h *tunnel.Header) { h.Visited = []string{"x", "cn-hangzhou"} }, tunnelpb.Answer_CODE_INVALID},
		"no second hop":     {func(h *tunnel.Header) { h.Service = "lonely" }, tunnelpb.Answer_CODE_UNAVAILABLE},
		"one attempt only":  {func(h *tunnel.Header) { h.Attempts = 1 }, tunnelpb.Answer_CODE_UNAVAILABLE},
		"no bounds":         {func(h *tunnel.Header) { h.Attempts, h.TimeoutMs, h.Protocol, h.Visited = 0, 0, "", nil }, 0},
		"a huge deadline":   {func(h *tunnel.Header) { h.TimeoutMs = 1 << 63 }, 0},
	} {
		h := request()
		tt.change(h)
		s := w.serve(&fakePeer{}, h)
		if got := refused(s); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
		s.Reset("done")
	}
	if n := len(w.tunnels.streams()); n != 0 {
		t.Errorf("%d second hops", n)
	}
	for _, l := range w.access.All() {
		if caller, _ := l.ContextMap()["caller"].(string); len(caller) > access.MaxText {
			t.Errorf("%d bytes of a caller in the log", len(caller))
		}
	}
}

func TestServeStreamDeadline(t *testing.T) {
	t.Parallel()
	hole := blackhole(t)
	w := newWorld(t, endpoints(endpoint(hole, here)))
	h := request()
	h.TimeoutMs = 50
	if got := refused(w.serve(&fakePeer{}, h)); got != tunnelpb.Answer_CODE_TIMEOUT && got != tunnelpb.Answer_CODE_UNAVAILABLE {
		t.Errorf("got %v", got)
	}
}

func TestServeStreamLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, locals("LIVE", here), func(_ *world, c *Config) { c.MaxStreamsPerPeer = 1 })
	first := w.serve(&fakePeer{}, request())
	if got := refused(first); got != 0 {
		t.Fatal(got)
	}
	second := w.serve(&fakePeer{}, request())
	if got := refused(second); got != tunnelpb.Answer_CODE_OVERLOADED {
		t.Fatal(got)
	}
	var e *tunnel.RefusedError
	if asRefused(second.Outcome(), &e); e.RetryAfter <= 0 || !strings.Contains(e.Reason, "1 streams of this peer are open, as many as") {
		t.Errorf("the peer gets %+v", e)
	}
	if line := w.line(); line["result"] != access.Limit || line["service"] != "shop/echo" {
		t.Errorf("%v", line)
	}
	if p := w.proxy.Problems(); len(p) != 1 || !strings.HasPrefix(p[0], "peer a: ") || !strings.Contains(p[0], "--max-streams-per-peer") {
		t.Errorf("status has %q", p)
	}
	if n := w.log.FilterField(zap.String("limit", "peer")).Len(); n != 1 {
		t.Errorf("%d lines in the log", n)
	}
	first.Reset("done")
	w.eventually("free", func() bool { return w.proxy.Active() == 0 })
	if got := refused(w.serve(&fakePeer{}, request())); got != 0 {
		t.Error(got)
	}
}

// TestServeStreamCallerShare: one caller of a peer does not use up what a service of the peer may have.
func TestServeStreamCallerShare(t *testing.T) {
	t.Parallel()
	w := newWorld(t, locals("LIVE", here), func(_ *world, c *Config) { c.MaxStreamsPerPeer = 32 })
	from := func(caller string) *tunnel.Header {
		h := request()
		h.Caller = caller
		return h
	}
	for i := range 18 { // nine sixteenths
		if got := refused(w.serve(&fakePeer{}, from("192.0.2.1:"+strconv.Itoa(1000+i)))); got != 0 {
			t.Fatalf("%d: %v", i, got)
		}
	}
	hog := w.serve(&fakePeer{}, from("192.0.2.1:2000"))
	if got := refused(hog); got != tunnelpb.Answer_CODE_OVERLOADED {
		t.Fatal(got)
	}
	var e *tunnel.RefusedError
	if asRefused(hog.Outcome(), &e); e.RetryAfter != 0 || !strings.Contains(e.Reason, "18 of them of this caller") {
		t.Errorf("the peer gets %+v", e)
	}
	for _, other := range []string{"192.0.2.2:1000", "[2001:db8::1]:1000", "a name"} {
		if got := refused(w.serve(&fakePeer{}, from(other))); got != 0 {
			t.Errorf("%s: %v", other, got)
		}
	}
	if n := testutil.ToFloat64(w.proxy.metrics.full.WithLabelValues("shop/echo", "caller_share")); n != 1 {
		t.Errorf("%v counted", n)
	}
	if p := w.proxy.Problems(); len(p) != 1 || !strings.HasPrefix(p[0], "peer a: ") || !strings.Contains(p[0], "one caller's") {
		t.Errorf("status has %q", p)
	}
	if l := w.log.FilterField(zap.String("limit", "caller_share")).All(); len(l) != 1 || l[0].ContextMap()["caller"] != "192.0.2.1/32" {
		t.Errorf("logged %v", l)
	}
}

// TestServeStreamProbe: it connects, answers and closes; nothing is relayed.
func TestServeStreamProbe(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 1)
	at := backend(t, func(c *net.TCPConn) {
		b, _ := io.ReadAll(c)
		heard <- string(b)
	})
	w := newWorld(t, endpoints(endpoint(at, here)))
	h := request()
	h.Probe = true
	s := w.serve(&fakePeer{}, h)
	_, _ = io.WriteString(s, "not for you")
	if got := refused(s); got != 0 {
		t.Error(got)
	}
	if got := <-heard; got != "" {
		t.Errorf("the endpoint heard %q", got)
	}
	if got := w.line()["result"]; got != access.Probe {
		t.Errorf("result %v", got)
	}
}

// TestCallerGone: attempts end when the stream does.
func TestCallerGone(t *testing.T) {
	t.Parallel()
	hole := blackhole(t)
	w := newWorld(t, endpoints(endpoint(hole, here)))
	s := w.serve(&fakePeer{}, request())
	w.eventually("in flight", func() bool { return w.proxy.Active() == 1 })
	s.Reset("gone")
	w.eventually("ended", func() bool { return w.proxy.Active() == 0 })
}

// TestOwnZoneForPeers: a far caller's locality means nothing here, that of one in the same region does.
func TestOwnZoneForPeers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, locals("LIVE-H", here, "LIVE-K", beside))
	for zone, want := range map[discovery.Locality]string{abroad: "LIVE-H", here: "LIVE-H", beside: "LIVE-K", {}: "LIVE-H"} {
		h := request()
		h.CallerLocality = &tunnelpb.Locality{Region: zone.Region, Zone: zone.Zone}
		s := w.serve(&fakePeer{}, h)
		if got := refused(s); got != 0 {
			t.Fatal(got)
		}
		if got := w.names[s.Answer().GetEndpoint()]; got != want {
			t.Errorf("caller in %v: %s, want %s", zone, got, want)
		}
		s.Reset("done")
	}
}

// TestServeStreamTerminating: a peer that has nothing better is served by a pod that terminates.
func TestServeStreamTerminating(t *testing.T) {
	t.Parallel()
	w := newWorld(t, locals("LIVE", here), terminating)
	s := w.serve(&fakePeer{}, request())
	if got := refused(s); got != 0 {
		t.Fatal(got)
	}
	if got := w.names[s.Answer().GetEndpoint()]; got != "LIVE" {
		t.Errorf("served by %s", got)
	}
	s.Reset("done")
}

// TestResetThroughBothProxies: application, proxy, tunnel, proxy, endpoint; a reset from either end arrives as a reset, 100 of 100.
func TestResetThroughBothProxies(t *testing.T) {
	t.Parallel()
	accepted := make(chan *net.TCPConn)
	ln, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(freshAddress(), 0)))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.AcceptTCP()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			accepted <- c
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	far := newWorld(t, endpoints(endpoint(ln.Addr().(*net.TCPAddr).AddrPort(), abroad)),
		func(_ *world, c *Config) { c.Cluster, c.Locality = "a", abroad })
	near := newWorld(t, peer("a", abroad, &fakePeer{handle: func(in *fakeIncoming) { far.proxy.ServeStream(in) }}))
	for i := range 100 {
		app := near.dial()
		endpoint := <-accepted
		from, to := app, endpoint
		if i%2 == 1 {
			from, to = to, from
		}
		if i%4 >= 2 { // after data
			_, _ = io.WriteString(from, "data")
			if _, err := io.ReadFull(to, make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
		}
		reset(from)
		if got, err := io.ReadAll(to); !isReset(err) {
			t.Fatalf("%d: got %q, %v; want a reset", i, got, err)
		}
		_ = to.Close()
	}
}

// TestEjectedPeerIsProbed through the tunnel, and used again.
func TestEjectedPeerIsProbed(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	broken, probes := true, 0
	once := uint32(1)
	p := &v1alpha1.TrafficPolicySpec{OutlierDetection: &v1alpha1.OutlierDetection{
		ConsecutiveLocalOriginFailures: &once,
		BaseEjectionTime:               &metav1.Duration{Duration: time.Millisecond},
		Interval:                       &metav1.Duration{Duration: 100 * time.Millisecond},
	}}
	w := newWorld(t, policy(p),
		peer("a", abroad, &fakePeer{handle: func(in *fakeIncoming) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case broken:
				_ = in.Refuse(unavailable, "no", 0)
			case in.header.GetProbe():
				probes++
				_, _ = in.Accept(&tunnelpb.Answer{})
			default:
				mu.Unlock()
				accepts("a")(in)
				mu.Lock()
			}
		}}),
		peer("b", abroad, &fakePeer{handle: accepts("b")}))
	if got, err := w.ask("hi"); err != nil || got != "b got hi" {
		t.Fatalf("got %q, %v", got, err)
	}
	w.eventually("ejected", func() bool { return w.proxy.Endpoints(echoName)[0].OutlierCheck != status.CheckOK })
	mu.Lock()
	broken = false
	mu.Unlock()
	w.eventually("back", func() bool { return w.proxy.Endpoints(echoName)[0].OutlierCheck == status.CheckRamping })
	w.eventually("used", func() bool { got, err := w.ask("hi"); return err == nil && got == "a got hi" })
	mu.Lock()
	defer mu.Unlock()
	if probes == 0 {
		t.Error("no probe")
	}
}

func FuzzServeStream(f *testing.F) {
	f.Add("shop", "echo", uint32(servicePort), "TCP", "a", uint32(1), uint64(10), false)
	f.Add("", "", uint32(0), "", "cn-hangzhou", uint32(0), uint64(0), true)
	f.Add("shop", "echo", uint32(1<<31), "UDP", "", uint32(1<<31), uint64(1)<<63, true)
	f.Fuzz(func(t *testing.T, ns, svc string, port uint32, protocol, visited string, attempts uint32, timeout uint64, probe bool) {
		w := newWorld(t)
		s := w.serve(&fakePeer{}, &tunnel.Header{
			Namespace: ns, Service: svc, Port: port, Protocol: protocol, Visited: []string{visited}, Caller: fmt.Sprint(ns, svc),
			Attempts: attempts, TimeoutMs: timeout, Probe: probe,
		})
		if got := refused(s); got <= 0 {
			t.Errorf("a service without endpoints was answered with %v", got)
		}
	})
}
