package transport

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/certs/certstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen; it times nothing.
const patience = time.Minute

// await polls a condition that other goroutines bring about.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	limit := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(limit) {
			t.Fatalf("waited %v for: %s", patience, what)
		}
		pause := time.NewTimer(5 * time.Millisecond)
		<-pause.C
	}
}

// world is two clusters that trust each other: a dials, b listens.
type world struct{ a, b *certstest.Cluster }

func newWorld(t *testing.T) *world {
	t.Helper()
	all := certstest.New(t, "a", "b")
	return &world{a: all["a"], b: all["b"]}
}

func (w *world) clientTLS(t *testing.T) *tls.Config {
	t.Helper()
	cfg, err := w.a.Auth.ClientConfig("b")
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// openGate admits everything.
type openGate struct{}

func (openGate) Admit(net.Addr, func()) Place { return openPlace{} }
func (openGate) Overloaded(string, net.Addr)  {}
func (openGate) Busy(net.Addr) bool           { return false }
func (openGate) Retrying(error)               {}

type openPlace struct{}

func (openPlace) Hello()                     {}
func (openPlace) Proved()                    {}
func (openPlace) Turn(context.Context) error { return nil }
func (openPlace) Yield()                     {}
func (openPlace) Failed(string, error)       {}
func (openPlace) Leave()                     {}

// listening is b's listener and the sessions that it accepted.
type listening struct {
	Listener
	sessions chan Session
}

func (w *world) listen(t *testing.T, tr Transport) *listening {
	t.Helper()
	ln, err := tr.Listen(t.Context(), "127.0.0.1:0", w.b.Auth.ServerConfig(), openGate{})
	if err != nil {
		t.Fatal(err)
	}
	l := &listening{Listener: ln, sessions: make(chan Session, 16)}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = ln.Serve(ctx, func(_ context.Context, s Session) { l.sessions <- s })
	}()
	t.Cleanup(func() {
		cancel()
		_ = ln.Close()
		<-done
		for len(l.sessions) > 0 {
			(<-l.sessions).Close("test is over")
		}
		_ = tr.Close()
	})
	return l
}

// dial connects a to an address at which b listens.
func (w *world) dial(t *testing.T, tr Transport, addr string) Session {
	t.Helper()
	s, err := tr.Dial(t.Context(), Target{Peer: "b", Address: addr, TLS: w.clientTLS(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close("test is over")
		_ = tr.Close()
	})
	return s
}

// echo sends back what comes on all of a session's streams, until it ends.
func echo(s Session) {
	for {
		st, err := s.Accept(context.Background()) //nolint:forbidigo // ends with the session
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(st, st)
			st.EndWrite()
		}()
	}
}

// pair is a session of a's that b echoes.
func (w *world) pair(t *testing.T, tr func() Transport) Session {
	t.Helper()
	ln := w.listen(t, tr())
	s := w.dial(t, tr(), ln.Addr().String())
	b := <-ln.sessions
	t.Cleanup(func() { b.Close("test is over") })
	go echo(b)
	return s
}
