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
	"sync"
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
func newApp(t *testing.T, name string, held bool) *app {
	t.Helper()
	a := &app{name: name, executing: make(chan struct{}, 16), hold: make(chan struct{})}
	if !held {
		close(a.hold)
	}
	ln, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
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

// post sends one request on a connection of its own, and returns the name of whom it was answered by.
func (p *path) post(ctx context.Context) (string, error) {
	transport := &http.Transport{DisableKeepAlives: true}
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
// runs nowhere else, and the client is told that something went wrong.
func TestPathPeerDiesWhileExecuting(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		b, c := newApp(t, "b", true), newApp(t, "c", false)
		p := newPath(t, spec{
			transport: transport,
			b:         []discovery.Endpoint{ready(b.addr, near)}, c: []discovery.Endpoint{ready(c.addr, abroad)},
		})
		answered := make(chan error, 1)
		go func() {
			who, err := p.post(t.Context())
			if err == nil {
				err = fmt.Errorf("%s answered", who)
			}
			answered <- err
		}()
		<-b.executing
		p.b.stopNode()
		if err := <-answered; !isReset(err) {
			t.Errorf("the client saw: %v", err)
		}
		// The word that b had accepted may have died with it.
		if got := p.attempts(t, 1); !slices.Equal(got, []string{"b accepted"}) && !slices.Equal(got, []string{"b unknown"}) {
			t.Errorf("attempts %q", got)
		}
		if b.ran.Load() != 1 || c.ran.Load() != 0 {
			t.Errorf("ran %d times at b and %d times at c", b.ran.Load(), c.ran.Load())
		}
		if who, err := p.post(t.Context()); err != nil || who != "c" {
			t.Errorf("the next one was answered by %q, %v", who, err)
		}
	})
}

// TestPathRefusalIsReplayed: the nearer peer's endpoint refuses, so the request runs at the other peer, once.
func TestPathRefusalIsReplayed(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		c := newApp(t, "c", false)
		p := newPath(t, spec{
			transport: transport,
			b:         []discovery.Endpoint{ready(dead(t), near)}, c: []discovery.Endpoint{ready(c.addr, abroad)},
		})
		if who, err := p.post(t.Context()); err != nil || who != "c" {
			t.Errorf("answered by %q, %v", who, err)
		}
		p.mustAttempt(t, 1, "b refused", "c accepted")
		if c.ran.Load() != 1 {
			t.Errorf("ran %d times", c.ran.Load())
		}
	})
}

// TestPathAnswerLost: the request reaches the peer and runs, but no word of it comes back, not even that it was accepted. It
// is not repeated elsewhere.
func TestPathAnswerLost(t *testing.T) {
	t.Parallel()
	for _, l := range loseContact(t, fromTarget) {
		if l.b.ran.Load() != 1 {
			t.Errorf("%s: ran %d times at b", l.transport, l.b.ran.Load())
		}
	}
}

// TestPathSilentPeer: the peer has fallen silent without anyone knowing yet when a request goes there. The client is told
// once the peer is given up, and the request does not run elsewhere, whether or not the peer gets it in the end.
func TestPathSilentPeer(t *testing.T) {
	t.Parallel()
	for _, l := range loseContact(t, toTarget, fromTarget) {
		if l.b.ran.Load() > 1 {
			t.Errorf("%s: ran %d times at b", l.transport, l.b.ran.Load())
		}
	}
}

// lost is a path whose a has lost contact to b with a request on its way.
type lost struct {
	transport string
	path      *path
	b, c      *app
	posts     int32
	err       error
}

// loseContact posts while directions are silent, checks that the client saw a reset once b was given up, and not
// earlier, and that c was not asked. Then b is heard again. All transports at the same time: most of it is waiting.
func loseContact(t *testing.T, directions ...int) []*lost {
	t.Helper()
	var all []*lost
	var wg sync.WaitGroup
	for _, transport := range transports {
		l := &lost{transport: transport, b: newApp(t, "b", false), c: newApp(t, "c", false)}
		l.path = newPath(t, spec{
			transport: transport, wired: true,
			b: []discovery.Endpoint{ready(l.b.addr, near)}, c: []discovery.Endpoint{ready(l.c.addr, abroad)},
		})
		all = append(all, l)
	}
	longestWait := watchTurns()
	for _, l := range all {
		wg.Go(func() { l.err = l.lose(t.Context(), directions) })
	}
	wg.Wait()
	busy := longestWait() > maxTurn
	for _, l := range all {
		if l.err != nil {
			t.Errorf("%s: %v", l.transport, l.err)
		}
		// Where the proxies hardly get a turn, the time for all attempts may be over before b is given up.
		got := l.path.attempts(t, int(l.posts))
		if !slices.Equal(got, []string{"b unknown"}) && (!busy || !slices.Equal(got, []string{"b abandoned"})) {
			t.Errorf("%s: attempts %q", l.transport, got)
		}
		await(t, "b is heard again", l.heard)
		if n := l.c.ran.Load(); n != l.posts-1 {
			t.Errorf("%s: ran %d times at c", l.transport, n)
		}
	}
	return all
}

func (l *lost) lose(ctx context.Context, directions []int) error {
	for {
		l.posts++
		l.path.wire.silence(true, directions...)
		who, err := l.path.post(ctx)
		usable := l.heard()
		l.path.wire.silence(false, toTarget, fromTarget)
		switch {
		case err == nil && who == "c" && l.posts < 5:
			// The machine was so slow that the silence was noticed before the request went out: b got nothing of it.
			if !eventually(l.heard) {
				return errors.New("b does not come back")
			}
			continue
		case !isReset(err):
			return fmt.Errorf("answered by %q, %w", who, err)
		case usable:
			return errors.New("a reset while b counted as alive")
		}
		return nil
	}
}

func (l *lost) heard() bool { return l.path.a.node.State("b").Usable }

// TestPathSilentPeerHeaderOnly: the client says nothing before it was greeted, so the next peer greets it long before
// the silent one is given up.
func TestPathSilentPeerHeaderOnly(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		greeter := listen(t, func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "220 c")
			echo(c)
		})
		p := newPath(t, spec{transport: transport, wired: true, c: []discovery.Endpoint{ready(greeter, abroad)}})
		p.wire.silence(true, toTarget, fromTarget)
		c, err := p.dial()
		must(t, err)
		got := make([]byte, len("220 c"))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "220 c" {
			t.Fatalf("greeted with %q, %v%s", got, err, p.story(c))
		}
		if p.a.lanes("b", "tcp")+p.a.lanes("b", "quic") == 0 {
			t.Error("the silent peer had been given up by then")
		}
		halfClose(t, c, c, " and on")
	})
}

// TestPathOrder: local endpoints are tried before peers, and what refuses is not seen by the client.
func TestPathOrder(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		b, local := newApp(t, "b", false), newApp(t, "local", false)
		dead1, dead2 := dead(t), dead(t)
		for _, tt := range []struct {
			who    string
			locals []discovery.Endpoint
			want   []string
		}{
			{
				"local",
				[]discovery.Endpoint{ready(dead1, here), ready(local.addr, beside)},
				[]string{dead1.String() + " refused", local.addr.String() + " accepted"},
			},
			{
				"b",
				[]discovery.Endpoint{ready(dead1, here), ready(dead2, beside)},
				[]string{dead1.String() + " refused", dead2.String() + " refused", "b accepted"},
			},
		} {
			p := newPath(t, spec{transport: transport, locals: tt.locals, b: []discovery.Endpoint{ready(b.addr, near)}})
			if who, err := p.post(t.Context()); err != nil || who != tt.who {
				t.Errorf("answered by %q, %v; want %s", who, err, tt.who)
			}
			p.mustAttempt(t, 1, tt.want...)
		}
		if b.ran.Load() != 1 || local.ran.Load() != 1 {
			t.Errorf("ran %d times at b and %d times here", b.ran.Load(), local.ran.Load())
		}
	})
}
