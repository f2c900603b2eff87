package failover_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/eastway/eastway/discovery"
)

// app is an HTTP application that counts what it executes and answers with its name.
type app struct {
	name string
	addr netip.AddrPort
	ran  atomic.Int32
	// executing gets a value when a request has been executed and not answered yet; the answer comes when hold is closed.
	executing, hold chan struct{}
}

// newApp starts one; held keeps it from answering.
func newApp(t *testing.T, on ground, name string, held bool) *app {
	t.Helper()
	a := &app{name: name, executing: make(chan struct{}, 16), hold: make(chan struct{})}
	if !held {
		close(a.hold)
	}
	ln := on.listen(t)
	a.addr = ln.Addr().(*net.TCPAddr).AddrPort()
	srv := &http.Server{Handler: a}
	run(t, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return a
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	a.ran.Add(1)
	a.executing <- struct{}{}
	select {
	case <-a.hold:
		_, _ = io.WriteString(w, a.name)
	case <-r.Context().Done():
	}
}

// post sends one request on a connection of its own, and returns the name of the application that answered.
func (p *path) post(ctx context.Context) (string, error) {
	transport := &http.Transport{
		DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return p.on.dial(ctx, p.service) },
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.service.String(), strings.NewReader("order one"))
	if err != nil {
		return "", err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// attempts are those of the newest line of a's access log, once there are so many lines, as "TARGET RESULT".
func (p *path) attempts(t *testing.T, lines int) []string {
	t.Helper()
	await(t, "the connection is logged", func() bool { return p.a.access.Len() >= lines })
	list, _ := p.a.access.All()[lines-1].ContextMap()["attempts"].([]any)
	var out []string
	for _, a := range list {
		m := a.(map[string]any)
		out = append(out, fmt.Sprint(m["target"], " ", m["result"]))
	}
	return out
}

func (p *path) mustAttempt(t *testing.T, lines int, want ...string) {
	t.Helper()
	if got := p.attempts(t, lines); !slices.Equal(got, want) {
		t.Errorf("attempts %q, want %q", got, want)
	}
}

// TestPathPeerDiesWhileExecuting: the peer has handed the request to its application when it dies. It ran there, so it
// runs nowhere else, and the client sees a reset.
func TestPathPeerDiesWhileExecuting(t *testing.T) {
	t.Parallel()
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		b, c := newApp(t, g, "b", true), newApp(t, g, "c", false)
		p := newPath(t, spec{
			on: g, transport: over,
			b: []discovery.Endpoint{ready(b.addr, near)}, c: []discovery.Endpoint{ready(c.addr, abroad)},
		})
		answered := make(chan error, 1)
		go func() {
			name, err := p.post(t.Context())
			if err == nil {
				err = fmt.Errorf("%s answered", name)
			}
			answered <- err
		}()
		<-b.executing
		p.b.stopNode()
		if err := <-answered; !isReset(err) {
			t.Errorf("the client saw: %v", err)
		}
		// That b had accepted may have been lost with it.
		if got := p.attempts(t, 1); !slices.Equal(got, []string{"b accepted"}) && !slices.Equal(got, []string{"b unknown"}) {
			t.Errorf("attempts %q", got)
		}
		if b.ran.Load() != 1 || c.ran.Load() != 0 {
			t.Errorf("ran %d times at b and %d times at c", b.ran.Load(), c.ran.Load())
		}
		if name, err := p.post(t.Context()); err != nil || name != "c" {
			t.Errorf("the next one was answered by %q, %v", name, err)
		}
	})
}

// TestPathRefusalIsReplayed: the nearer peer's endpoint refuses, so the request runs at the other peer, once.
func TestPathRefusalIsReplayed(t *testing.T) {
	t.Parallel()
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		c := newApp(t, g, "c", false)
		p := newPath(t, spec{
			on: g, transport: over,
			b: []discovery.Endpoint{ready(g.unused(t), near)}, c: []discovery.Endpoint{ready(c.addr, abroad)},
		})
		if name, err := p.post(t.Context()); err != nil || name != "c" {
			t.Errorf("answered by %q, %v", name, err)
		}
		p.mustAttempt(t, 1, "b refused", "c accepted")
		if c.ran.Load() != 1 {
			t.Errorf("ran %d times", c.ran.Load())
		}
	})
}

// TestPathAnswerLost: the request reaches the peer and runs, but nothing of it comes back, not even that it was accepted. It is
// not repeated elsewhere.
func TestPathAnswerLost(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, g *simulated) {
		if ran := loseContact(t, g, func() { g.silence("b", "a") }); ran != 1 {
			t.Errorf("ran %d times at b", ran)
		}
	})
}

// TestPathSilentPeer: the peer has fallen silent, which nothing has noticed yet, when a request goes there. The client sees a
// reset once the peer is given up, and the request does not run elsewhere, whether or not the peer gets it in the end.
func TestPathSilentPeer(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, g *simulated) {
		if ran := loseContact(t, g, func() { g.silence("a", "b"); g.silence("b", "a") }); ran > 1 {
			t.Errorf("ran %d times at b", ran)
		}
	})
}

// loseContact posts during a silence, checks that the client sees a reset once b is given up, and not earlier, and that the
// request does not run at c. Then b is heard again. It returns how often the request ran at b.
func loseContact(t *testing.T, g *simulated, silence func()) int32 {
	t.Helper()
	b, c := newApp(t, g, "b", false), newApp(t, g, "c", false)
	p := newPath(t, spec{
		on: g, transport: "tcp",
		b: []discovery.Endpoint{ready(b.addr, near)}, c: []discovery.Endpoint{ready(c.addr, abroad)},
	})
	silence()
	name, err := p.post(t.Context())
	if !isReset(err) {
		t.Errorf("answered by %q, %v", name, err)
	}
	if p.a.node.State("b").Usable {
		t.Error("a reset while b counted as alive")
	}
	p.mustAttempt(t, 1, "b unknown")
	g.net.HealAll()
	await(t, "b is heard again", func() bool { return p.a.node.State("b").Usable })
	if n := c.ran.Load(); n != 0 {
		t.Errorf("ran %d times at c", n)
	}
	return b.ran.Load()
}

// TestPathSilentPeerHeaderOnly: the client sends nothing before it was greeted, so the next peer greets it long before the
// silent one is given up.
func TestPathSilentPeerHeaderOnly(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, g *simulated) {
		greeter := listen(t, g, func(c conn) {
			_, _ = io.WriteString(c, "220 c")
			echo(c)
		})
		p := newPath(t, spec{on: g, transport: "tcp", c: []discovery.Endpoint{ready(greeter, abroad)}})
		g.silence("a", "b")
		g.silence("b", "a")
		c, err := p.dial()
		must(t, err)
		got := make([]byte, len("220 c"))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "220 c" {
			t.Fatalf("greeted with %q, %v%s", got, err, p.story(c))
		}
		if p.a.lanes("b", "tcp") == 0 {
			t.Error("the silent peer had been given up by then")
		}
		halfClose(t, c, c, " and on")
	})
}

// TestPathOrder: local endpoints are tried before peers, and what refuses is not seen by the client.
func TestPathOrder(t *testing.T) {
	t.Parallel()
	for _, last := range []string{"local", "b"} {
		t.Run(last, func(t *testing.T) {
			t.Parallel()
			inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
				b, local := newApp(t, g, "b", false), newApp(t, g, "local", false)
				dead1, dead2 := g.unused(t), g.unused(t)
				locals := []discovery.Endpoint{ready(dead1, here), ready(dead2, beside)}
				want := []string{dead1.String() + " refused", dead2.String() + " refused", "b accepted"}
				if last == "local" {
					locals[1] = ready(local.addr, beside)
					want = []string{dead1.String() + " refused", local.addr.String() + " accepted"}
				}
				p := newPath(t, spec{on: g, transport: over, locals: locals, b: []discovery.Endpoint{ready(b.addr, near)}})
				if name, err := p.post(t.Context()); err != nil || name != last {
					t.Errorf("answered by %q, %v; want %s", name, err, last)
				}
				p.mustAttempt(t, 1, want...)
				if b.ran.Load()+local.ran.Load() != 1 {
					t.Errorf("ran %d times at b and %d times here", b.ran.Load(), local.ran.Load())
				}
			})
		})
	}
}
