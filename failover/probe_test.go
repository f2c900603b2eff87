package failover

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// A probe is a call like any other: it is repeated, and what each try was is in its report.
func TestProbe(t *testing.T) {
	t.Parallel()
	query := status.ProbeQuery{Namespace: echoName.Namespace, Name: echoName.Name, Timeout: 5 * time.Second}
	probe := func(w *world, change func(*status.ProbeQuery)) string {
		w.t.Helper()
		q := query
		if change != nil {
			change(&q)
		}
		p, err := w.proxy.Probe(w.t.Context(), q)
		switch {
		case err != nil:
			return err.Error()
		case p == nil:
			return "none"
		}
		var tries []string
		for _, h := range p.Hops {
			tries = append(tries, h.Target+" "+h.Result)
		}
		if p.Endpoint != "" && p.Total == 0 {
			w.t.Error("it took no time")
		}
		return strings.Join(append([]string{p.Protocol, http.StatusText(p.Status), p.Result}, tries...), ", ")
	}
	silent := func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 1<<10)); <-t.Context().Done() }
	answers := httpPeer("west", abroad, func(in *fakeIncoming) {
		if s, err := in.Accept(&tunnelpb.Answer{Http: true}); err == nil {
			serveFake(in.ctx, s, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Eastway-Outcome", "answered;10.0.0.9:80;r;z;1500")
			})
		}
	})
	web := newWorld(t, overHTTP, webs(here, refusing(503)), answers)
	plain := newWorld(t, webs(here, says("x")))
	stuck := newWorld(t, overHTTP, endpoints(endpoint(backend(t, silent), here)))
	near := web.service.Endpoints[8000][0].Address.String()
	for name, c := range map[string]struct{ got, want string }{
		"HTTP": {probe(web, nil), "HTTP, OK, ok, " + near + " 503, west answered"},
		"no port": {
			probe(web, func(q *status.ProbeQuery) { q.Port = 1 }),
			"service shop/echo has no TCP port 1; it has [8000]",
		},
		"no name":  {probe(web, func(q *status.ProbeQuery) { q.Name = "x" }), "none"},
		"too long": {probe(web, func(q *status.ProbeQuery) { q.Timeout = 2 * time.Minute }), "timeout 2m0s is not above 0 and 1m0s at most"},
		"a body": {
			probe(web, func(q *status.ProbeQuery) { q.Request = []byte("PUT / HTTP/1.1\nHost: x\nContent-Length: 3\n") }),
			"the request has a body: a probe sends the head alone",
		},
		"no request": {
			probe(web, func(q *status.ProbeQuery) { q.Request = []byte("x") }), "line 1: the proxy refuses such a request: request-line",
		},
		"TCP":              {probe(plain, nil), "TCP, , ok, " + plain.service.Endpoints[8000][0].Address.String() + " accepted"},
		"TCP, no endpoint": {strings.Replace(probe(newWorld(t), nil), "reset", "no_endpoint", 1), "TCP, , no_endpoint"},
		"never answered": {
			probe(stuck, func(q *status.ProbeQuery) { q.Timeout = 300 * time.Millisecond }),
			"HTTP, , timeout, " + stuck.service.Endpoints[8000][0].Address.String() + " timeout",
		},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", name, c.got, c.want)
		}
	}
	stuck.proxy.listeners.Close()
	if got := probe(stuck, nil); got != "this proxy has no open listener for shop/echo: the proxy shuts down: call another one" {
		t.Error(got)
	}
	p, err := web.proxy.Probe(t.Context(), query)
	if err != nil || p.Endpoint != "10.0.0.9:80" || p.Hops[len(p.Hops)-1].AtPeer != 1500*time.Microsecond {
		t.Errorf("%+v, %v", p, err)
	}
	if n := web.proxy.probes.n.Load(); n != 0 {
		t.Errorf("%d probes are left", n)
	}
	for range maxOwnCalls {
		web.proxy.probes.begin()
	}
	if got := probe(web, nil); got != "8 probes are under way at this proxy: try again" {
		t.Error(got)
	}
}

// TestProbeOddAnswers: interim answers come before the one that counts, and an answer without an end does not hold the probe up.
func TestProbeOddAnswers(t *testing.T) {
	t.Parallel()
	for path, c := range map[string]struct {
		answers http.HandlerFunc
		status  int
		problem string
	}{
		"interim": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusProcessing)
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusNotFound)
		}, http.StatusNotFound, ""},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for part := make([]byte, 64<<10); r.Context().Err() == nil; {
				_, _ = w.Write(part)
			}
		}, http.StatusOK, "only 1048576 bytes of the answer were read"},
	} {
		w := newWorld(t, overHTTP, webs(here, c.answers))
		p, err := w.proxy.Probe(t.Context(), status.ProbeQuery{Namespace: echoName.Namespace, Name: echoName.Name, Timeout: 20 * time.Second})
		if err != nil || p.Status != c.status || p.Error != c.problem {
			t.Errorf("%s: %+v, %v", path, p, err)
		}
	}
}
