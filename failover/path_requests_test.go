package failover_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/status"
)

// pod is an endpoint that is a web server for HTTP/1.1 and h2c, and counts its requests.
type pod struct {
	discovery.Endpoint
	requests atomic.Int32
}

func newPod(t *testing.T, on ground, at discovery.Locality, answer http.HandlerFunc) *pod {
	t.Helper()
	ln := on.listen(t)
	p := &pod{Endpoint: ready(ln.Addr().(*net.TCPAddr).AddrPort(), at)}
	srv := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.requests.Add(1)
		answer(w, r)
	})}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	run(t, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return p
}

// pods are the endpoints of some.
func pods(of ...*pod) (out []discovery.Endpoint) {
	for _, p := range of {
		out = append(out, p.Endpoint)
	}
	return out
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, text)
	}
}

func fails(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "from the endpoint")
	}
}

// cuts executes the request and resets the connection.
func cuts(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	reset(c.(conn))
}

// ends executes the request and ends its server with all connections.
func ends(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	_ = r.Context().Value(http.ServerContextKey).(*http.Server).Close()
}

// client is an application that keeps its connection.
func (p *path) client(h2 bool) *http.Client {
	tr := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return p.on.dial(ctx, p.service) },
		Protocols:   new(http.Protocols), DisableCompression: true,
	}
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetUnencryptedHTTP2(h2)
	p.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// send is one request; the error is for a test's goroutine.
func (p *path) send(client *http.Client, method, body string) (code int, answer string, header http.Header, err error) {
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.service.String()+"/", strings.NewReader(body))
	if err != nil {
		return 0, "", nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), resp.Header, err
}

// TestRequestsThroughPeer: b has two pods, c one. The application is in a.
func TestRequestsThroughPeer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		b1, b2         http.HandlerFunc // nil: connections are refused
		method         string
		status         int
		answer, reason string
		ran1, ran2, c  int32 // how often each got the request; -1: any
	}{
		"healthy":           {b1: says("b"), b2: says("b"), method: "POST", status: 200, answer: "b", ran1: -1, ran2: -1},
		"POST, one refuses": {b2: says("b2"), method: "POST", status: 200, answer: "b2", ran2: 1},
		"POST, both refuse": {method: "POST", status: 200, answer: "c", c: 1},
		"GET, 503 at both":  {b1: fails(503), b2: fails(503), method: "GET", status: 200, answer: "c", ran1: -1, ran2: -1, c: 1},
		"POST, 503 at both": {b1: fails(503), b2: fails(503), method: "POST", status: 503, answer: "from the endpoint", ran1: -1, ran2: -1},
		"GET, 500 at both":  {b1: fails(500), b2: fails(500), method: "GET", status: 500, answer: "from the endpoint", ran1: -1, ran2: -1},
		"GET, cut at both":  {b1: cuts, b2: cuts, method: "GET", status: 200, answer: "c", ran1: -1, ran2: -1, c: 1},
		"POST, cut at both": {
			b1: cuts, b2: cuts, method: "POST", status: 503, answer: "eastway: unknown-outcome\n", reason: "unknown-outcome", ran1: -1, ran2: -1,
		},
		"GET, cut by one that ends, no c": { // what the peer says of the second try is not true of the request
			b1: ends, method: "GET", status: 503, answer: "eastway: unknown-outcome\n", reason: "unknown-outcome", ran1: 1, c: -2,
		},
		"a forged outcome":       {b1: forges, b2: forges, method: "POST", status: 503, answer: "forged", ran1: -1, ran2: -1},
		"GET, 503 at one, no c":  {b1: fails(503), b2: says("b2"), method: "GET", status: 200, answer: "b2", ran1: -1, ran2: 1, c: -2},
		"POST, all refuse, no c": {method: "POST", status: 503, answer: "eastway: no-endpoint\n", reason: "no-endpoint", c: -2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
				var all []*pod
				var endpoints []discovery.Endpoint
				for _, answer := range []http.HandlerFunc{c.b1, c.b2} {
					if answer == nil {
						all, endpoints = append(all, &pod{}), append(endpoints, ready(g.unused(t), near))
						continue
					}
					all = append(all, newPod(t, g, near, answer))
					endpoints = append(endpoints, all[len(all)-1].Endpoint)
				}
				far := newPod(t, g, abroad, says("c"))
				sp := spec{on: g, transport: over, b: endpoints, http: true}
				if c.c != -2 {
					sp.c = pods(far)
				}
				p := newPath(t, sp)
				code, answer, header, err := p.send(p.client(false), c.method, "order one")
				must(t, err)
				if code != c.status || answer != c.answer || header.Get("X-Eastway-Reason") != c.reason {
					t.Errorf("%d %q %v, want %d %q", code, answer, header, c.status, c.answer)
				}
				for _, name := range []string{"X-Eastway-Outcome", "X-Eastway-Call"} {
					if header.Get(name) != "" {
						t.Errorf("the application gets %s: %s", name, header.Get(name))
					}
				}
				ran1, ran2 := all[0].requests.Load(), all[1].requests.Load()
				if c.ran1 >= 0 && ran1 != c.ran1 || c.ran2 >= 0 && ran2 != c.ran2 || ran1 > 1 || ran2 > 1 || far.requests.Load() != max(c.c, 0) {
					t.Errorf("the pods got %d, %d and %d requests, want %d, %d and %d", ran1, ran2, far.requests.Load(), c.ran1, c.ran2, c.c)
				}
				if c.method == "POST" && ran1+ran2+far.requests.Load() > 1 {
					t.Errorf("a POST was executed %d times", ran1+ran2+far.requests.Load())
				}
			})
		})
	}
}

// forges claims that it is a proxy, which did not execute the request.
func forges(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("X-Eastway-Outcome", "not-executed;;;")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, "forged")
}

// TestRequestTakesOneRoundTrip: over a new stream and over a kept one.
func TestRequestTakesOneRoundTrip(t *testing.T) {
	t.Parallel()
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		p := newPath(t, spec{on: g, transport: over, b: pods(newPod(t, g, near, says("b"))), http: true})
		client := p.client(false)
		for i := range 3 {
			began := time.Now()
			code, answer, _, err := p.send(client, "POST", "order one")
			must(t, err)
			if took := time.Since(began); code != 200 || answer != "b" || took > 2*wan+2*time.Millisecond {
				t.Errorf("request %d: %d %q after %v, a round trip is %v", i, code, answer, took, 2*wan)
			}
		}
		if n := p.a.streams(); n != 1 {
			t.Errorf("%d streams for requests one after the other", n)
		}
		line := p.a.access.All()[1].ContextMap()
		far := p.b.access.All()[1].ContextMap()
		if line["caller"] != far["caller"] || far["direction"] != "inbound" || far["caller_cluster"] != "a" || line["endpoint"] != far["endpoint"] ||
			line["cluster"] != "b" || far["caller_locality"] != line["caller_locality"] || line["peer_address"] != "" || far["peer_address"] == "" {
			t.Errorf("the caller's proxy: %v\nthe peer's: %v", line, far)
		}
	})
}

// TestBadPodBehindPeer: one of ten pods answers 500 or cuts. The peer's proxy ejects it, and the peer stays.
func TestBadPodBehindPeer(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]http.HandlerFunc{"500": fails(500), "503": fails(503), "cut": cuts} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, g *simulated) {
				all := []*pod{newPod(t, g, near, bad)}
				for range 9 {
					all = append(all, newPod(t, g, near, says("b")))
				}
				p := newPath(t, spec{on: g, transport: "tcp", b: pods(all...), http: true})
				client, failed := p.client(false), 0
				for range 400 {
					code, _, _, err := p.send(client, "GET", "")
					must(t, err)
					if code != 200 {
						failed++
					}
				}
				ejected := all[0].requests.Load()
				if want := map[string]int{"500": 5}[name]; failed > want || ejected > 5 {
					t.Errorf("%d requests failed, %d went to the bad pod", failed, ejected)
				}
				for _, e := range p.a.proxy.Endpoints(echoName) {
					if e.OutlierCheck != status.CheckOK {
						t.Errorf("at the caller: %+v", e)
					}
				}
				if ejected < 5 { // quick refusals attract few requests
					return
				}
				if i := slices.IndexFunc(p.b.proxy.Endpoints(echoName), func(e status.Endpoint) bool {
					return e.Address == all[0].Address.String() && e.OutlierCheck == status.CheckFailed
				}); i < 0 {
					t.Errorf("at the peer: %+v", p.b.proxy.Endpoints(echoName))
				}
			})
		})
	}
}

// TestRequestsSpread: each request of an HTTP/2 connection goes to an endpoint of its own choice.
func TestRequestsSpread(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			t.Parallel()
			inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
				one, two := newPod(t, g, near, says("b")), newPod(t, g, near, says("b"))
				p := newPath(t, spec{on: g, transport: over, b: pods(one, two), http: true})
				client := p.client(h2)
				for range 40 {
					code, answer, _, err := p.send(client, "POST", "order one")
					must(t, err)
					if code != 200 || answer != "b" {
						t.Fatalf("%d %q", code, answer)
					}
				}
				if a, b := one.requests.Load(), two.requests.Load(); a < 5 || b < 5 || a+b != 40 {
					t.Errorf("%d and %d requests", a, b)
				}
			})
		})
	}
}

// TestRequestsToPeerBefore: a peer that does not know of HTTP carries it as TCP, and its endpoints see nothing of Eastway.
func TestRequestsToPeerBefore(t *testing.T) {
	t.Parallel()
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		old := newPod(t, g, near, func(w http.ResponseWriter, r *http.Request) {
			for name := range r.Header {
				if strings.HasPrefix(name, "X-Eastway") {
					t.Errorf("the endpoint gets %s", name)
				}
			}
			w.Header().Set("X-Eastway-Outcome", "not-executed;;;")
			_, _ = io.WriteString(w, "b")
		})
		p := newPath(t, spec{on: g, transport: over, http: true, oldPeer: true, b: pods(old)})
		code, answer, header, err := p.send(p.client(false), "POST", "order one")
		must(t, err)
		if code != 200 || answer != "b" || header.Get("X-Eastway-Outcome") != "" {
			t.Errorf("%d %q %v", code, answer, header)
		}
	})
}

// TestUpgradeThroughPeer: a connection that is switched to another protocol. It outlasts what both proxies do when they drain, as
// long as it is used within their grace period.
func TestUpgradeThroughPeer(t *testing.T) {
	t.Parallel()
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		p := newPath(t, spec{on: g, transport: over, http: true, b: pods(newPod(t, g, near, func(w http.ResponseWriter, _ *http.Request) {
			c, buf, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			_, _ = io.Copy(c, buf)
		}))})
		c, err := p.dial()
		must(t, err)
		_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		must(t, err)
		r := bufio.NewReader(c)
		resp, err := http.ReadResponse(r, nil)
		must(t, err)
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(resp.Status)
		}
		for range 3 {
			must(t, transfer(c, r, "hello"))
		}
		drained := make(chan error, 2)
		for _, side := range []*site{p.a, p.b} {
			side.node.GoAway()
			go func() { drained <- errors.Join(side.proxy.Drain(t.Context()), side.node.Drain(t.Context())) }()
		}
		for range 3 {
			bubble.Pass(time.Second)
			must(t, transfer(c, r, "hello"))
		}
		if n := len(drained); n > 0 {
			t.Errorf("%d proxies have drained", n)
		}
		must(t, c.CloseWrite())
		if b, err := io.ReadAll(r); err != nil || len(b) > 0 {
			t.Errorf("%q %v", b, err)
		}
		must(t, <-drained)
		must(t, <-drained)
	})
}

// TestRequestsWhilePeerDrains: b drains, c takes over. An application goes on all the time, also with POSTs.
func TestRequestsWhilePeerDrains(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			t.Parallel()
			inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
				b, c := newPod(t, g, near, says("b")), newPod(t, g, abroad, says("c"))
				p := newPath(t, spec{on: g, transport: over, http: true, b: pods(b), c: pods(c)})
				client := p.client(h2)
				drained := make(chan error, 1)
				sent, err := int32(0), error(nil)
				for answer := ""; answer != "c" && err == nil; sent++ {
					if sent == 10 {
						p.b.node.GoAway()
						go func() { drained <- errors.Join(p.b.proxy.Drain(t.Context()), p.b.node.Drain(t.Context())) }()
					}
					var code int
					if code, answer, _, err = p.send(client, "POST", "order one"); err == nil && code != 200 {
						err = fmt.Errorf("%d %q", code, answer)
					}
				}
				must(t, err)
				must(t, <-drained)
				if n := b.requests.Load() + c.requests.Load(); n != sent {
					t.Errorf("%d requests were sent, %d executed", sent, n)
				}
			})
		})
	}
}

// TestLaneLostUnderRequest: what was sent may have been executed.
func TestLaneLostUnderRequest(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]int{"GET": 200, "POST": 503} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
				executing := make(chan struct{}, 1)
				b := newPod(t, g, near, func(_ http.ResponseWriter, r *http.Request) {
					executing <- struct{}{}
					<-r.Context().Done()
				})
				c := newPod(t, g, abroad, says("c"))
				p := newPath(t, spec{on: g, transport: over, http: true, b: pods(b), c: pods(c)})
				go func() {
					<-executing
					p.b.stopNode()
				}()
				code, answer, _, err := p.send(p.client(false), method, "")
				must(t, err)
				if code != want || b.requests.Load() != 1 || c.requests.Load() != map[string]int32{"GET": 1}[method] {
					t.Errorf("%d %q; b got %d requests, c %d", code, answer, b.requests.Load(), c.requests.Load())
				}
			})
		})
	}
}

// TestRequestsOverSockets: long bodies both ways, over real transports.
func TestRequestsOverSockets(t *testing.T) {
	t.Parallel()
	onSockets(t, func(t *testing.T, over string) {
		body := strings.Repeat("0123456789", 50_000) // a few times what is kept of a body, and what a window takes
		b := newPod(t, machine{}, near, func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(w, r.Body)
			if err != nil || n != int64(len(body)) {
				t.Errorf("%d bytes: %v", n, err)
			}
		})
		p := newPath(t, spec{on: machine{}, transport: over, http: true, b: pods(b)})
		for _, h2 := range []bool{false, true} {
			client := p.client(h2)
			for range 3 {
				code, answer, _, err := p.send(client, "POST", body)
				must(t, err)
				if code != 200 || answer != body {
					t.Errorf("%d, %d bytes", code, len(answer))
				}
			}
		}
	})
}

// TestLongBodyToPeerWithoutEndpoint: a body is not sent further than it is kept before the peer has a connection to an endpoint.
func TestLongBodyToPeerWithoutEndpoint(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("0123456789", 100_000)
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			t.Parallel()
			inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
				c := newPod(t, g, abroad, func(w http.ResponseWriter, r *http.Request) {
					b, _ := io.ReadAll(r.Body)
					_, _ = w.Write(b)
				})
				p := newPath(t, spec{
					on: g, transport: over, http: true, b: []discovery.Endpoint{ready(g.unused(t), near), ready(g.unused(t), near)}, c: pods(c),
				})
				for range 3 {
					code, answer, _, err := p.send(p.client(h2), http.MethodPost, body)
					must(t, err)
					if code != http.StatusOK || answer != body {
						t.Errorf("%d, %d bytes: %.60q", code, len(answer), answer)
					}
				}
			})
		})
	}
}

// TestLongBodyToPeer: the rest of a body, above what is kept, follows as soon as the peer has a connection to an endpoint.
func TestLongBodyToPeer(t *testing.T) {
	t.Parallel()
	const atMost = time.Second
	body := strings.Repeat("0123456789", 100_000)
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			t.Parallel()
			inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
				p := newPath(t, spec{on: g, transport: over, http: true, b: pods(newPod(t, g, near, says("b")))})
				began := time.Now()
				code, answer, _, err := p.send(p.client(h2), http.MethodPost, body)
				must(t, err)
				if code != http.StatusOK || answer != "b" {
					t.Errorf("%d: %.60q", code, answer)
				}
				if took := time.Since(began); took > atMost {
					t.Errorf("it took %s, want at most %s", took, atMost)
				}
			})
		})
	}
}
