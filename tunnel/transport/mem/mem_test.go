package mem_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/certs/certstest"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/transport/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type openGate struct{ failed []error }

func (g *openGate) Admit(net.Addr, func()) transport.Place { return openPlace{g} }
func (*openGate) Overloaded(string, net.Addr)              {}
func (*openGate) Busy(net.Addr) bool                       { return false }
func (*openGate) Retrying(error)                           {}

type openPlace struct{ gate *openGate }

func (openPlace) Hello()                       {}
func (openPlace) Proved()                      {}
func (openPlace) Turn(context.Context) error   { return nil }
func (openPlace) Yield()                       {}
func (p openPlace) Failed(_ string, err error) { p.gate.failed = append(p.gate.failed, err) }
func (openPlace) Leave()                       {}

func ok[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pair is a session between two hosts, from both sides.
func pair(t *testing.T, n *mem.Network) (a, b transport.Session) {
	t.Helper()
	trust := certstest.New(t, "a", "b")
	ln := ok[transport.Listener](t)(n.Transport("10.0.0.2").Listen(t.Context(), "10.0.0.2:0", trust["b"].Auth.ServerConfig(), &openGate{}))
	got := make(chan transport.Session, 1)
	go func() { _ = ln.Serve(t.Context(), func(_ context.Context, s transport.Session) { got <- s }) }()
	cfg, err := trust["a"].Auth.ClientConfig("b")
	must(t, err)
	a = ok[transport.Session](t)(n.Transport("10.0.0.1").Dial(t.Context(), transport.Target{Peer: "b", Address: ln.Addr().String(), TLS: cfg}))
	b = <-got
	t.Cleanup(func() {
		a.Close("over")
		b.Close("over")
		_ = ln.Close()
	})
	for name, c := range map[string]struct {
		s    transport.Session
		side string
	}{"b": {a, "a"}, "a": {b, "b"}} {
		if peer, err := trust[c.side].Auth.PeerName(c.s.TLS()); err != nil || peer != name {
			t.Errorf("%s sees %q, %v", c.side, peer, err)
		}
	}
	return a, b
}

func TestStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, mem.NewNetwork())
		out := ok[transport.Stream](t)(a.Open())
		data := make([]byte, 1<<20) // more than the window
		go func() {
			_, _ = out.Write(data)
			out.EndWrite()
		}()
		in := ok[transport.Stream](t)(b.Accept(t.Context()))
		if got := ok[[]byte](t)(io.ReadAll(in)); len(got) != len(data) {
			t.Errorf("%d of %d bytes", len(got), len(data))
		}
		must(t, in.SetReadDeadline(time.Now().Add(time.Second)))
		must(t, out.SetReadDeadline(time.Now().Add(time.Second)))
		if _, err := out.Read(data); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read with nothing to read: %v", err)
		}
		in.Abort(false)
		if _, err := out.Write(data); err == nil {
			t.Error("a stream that the other side gave up takes bytes")
		}
	})
}

func TestHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := mem.NewNetwork()
		a, b := pair(t, n)
		n.Hold(true)
		st := ok[transport.Stream](t)(a.Open())
		must(t, func() error { _, err := st.Write([]byte("x")); return err }())
		bubble.Pass(3 * time.Second)
		if h := b.Heard(); h != 3*time.Second {
			t.Errorf("heard %v ago in a network that is held", h)
		}
		a.Close("gone")
		select {
		case <-b.Done():
			t.Error("b knows of the end")
		default:
		}
		n.Hold(false)
		<-b.Done()
	})
}

// TestBetween: a silence and a cut between two hosts leave other pairs alone.
func TestBetween(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := mem.NewNetwork()
		a, b := pair(t, n) // from 10.0.0.1 to 10.0.0.2
		send := func() {
			st := ok[transport.Stream](t)(a.Open())
			must(t, func() error { _, err := st.Write([]byte("x")); return err }())
		}
		n.HoldBetween("10.0.0.1", "10.0.0.3", true)
		send()
		must(t, func() error { _, err := b.Accept(t.Context()); return err }())
		n.HoldBetween("10.0.0.2", "10.0.0.1", true)
		send()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Accept(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a stream passes a silence: %v", err)
		}
		n.HoldBetween("10.0.0.1", "10.0.0.3", false)
		n.HoldBetween("10.0.0.2", "10.0.0.1", false)
		must(t, func() error { _, err := b.Accept(t.Context()); return err }())
		n.CutBetween("10.0.0.1", "10.0.0.3")
		if sessions, listeners := n.Open(); sessions != 2 || listeners != 1 {
			t.Errorf("%d sides of sessions and %d listeners", sessions, listeners)
		}
		n.CutBetween("10.0.0.2", "10.0.0.1")
		<-a.Done()
		<-b.Done()
		if sessions, _ := n.Open(); sessions != 0 {
			t.Errorf("%d sides of sessions after a cut", sessions)
		}
	})
}

func TestCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := mem.NewNetwork()
		a, b := pair(t, n)
		st := ok[transport.Stream](t)(a.Open())
		n.Cut()
		<-a.Done()
		<-b.Done()
		if _, err := st.Read(make([]byte, 1)); !errors.Is(err, transport.ErrClosed) {
			t.Error(err)
		}
	})
}

// TestHandshakes: refusals on either side are what they are over TLS.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	trust, other := certstest.New(t, "a", "b"), certstest.New(t, "a", "b")
	n := mem.NewNetwork()
	gate := &openGate{}
	tr := n.Transport("10.0.0.2")
	ln := ok[transport.Listener](t)(tr.Listen(t.Context(), "10.0.0.2:1", trust["b"].Auth.ServerConfig(), gate))
	defer ln.Close()
	if _, err := tr.Listen(t.Context(), "10.0.0.2:1", trust["b"].Auth.ServerConfig(), gate); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a busy address: %v", err)
	}
	cfg, err := other["a"].Auth.ClientConfig("b")
	must(t, err)
	to := transport.Target{Peer: "b", Address: "10.0.0.2:1", TLS: cfg}
	if _, err := tr.Dial(t.Context(), to); err == nil || len(gate.failed) != 1 {
		t.Errorf("the dialer trusts another b: %v, %v", err, gate.failed)
	}
	to.TLS, err = trust["a"].Auth.ClientConfig("b")
	must(t, err)
	to.TLS.GetClientCertificate = cfg.GetClientCertificate
	s, err := tr.Dial(t.Context(), to)
	must(t, err)
	<-s.Done()
	if s.Alert() == nil || len(gate.failed) != 2 {
		t.Errorf("b trusts another a: %v, %v", s.Alert(), gate.failed)
	}
	if sessions, _ := n.Open(); sessions != 0 {
		t.Errorf("%d sides of sessions are left after refusals", sessions)
	}
	to.Address = "10.0.0.2:2"
	if _, err := tr.Dial(t.Context(), to); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a closed port: %v", err)
	}
}
