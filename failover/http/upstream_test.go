package http

import (
	"errors"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

var errWrite = errors.New("write failed")

// failingStream may have sent a part. Its outcome comes later than the error.
type failingStream struct {
	dial.Stream
	answered chan struct{}
	outcome  error
}

func (failingStream) Write([]byte) (int, error)   { return 0, errWrite }
func (s failingStream) Answered() <-chan struct{} { return s.answered }
func (s failingStream) Outcome() error            { return s.outcome }

// failingConn has sent nothing.
type failingConn struct{ net.Conn }

func (failingConn) Write([]byte) (int, error) { return 0, errWrite }

// TestNothingWritten: only a socket knows that a write that failed has sent nothing.
func TestNothingWritten(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		conn    net.Conn
		nothing bool
	}{
		"socket": {failingConn{}, true},
		"stream": {streamConn{failingStream{answered: closed()}}, false},
	} {
		w := &wire{Conn: c.conn}
		if _, err := w.Write([]byte("GET / HTTP/1.1")); !errors.Is(err, errWrite) {
			t.Errorf("%s: %v", name, err)
		}
		if nothing := w.written.Load() == 0; nothing != c.nothing {
			t.Errorf("%s: nothing written is %v", name, nothing)
		}
	}
}

// TestPending: what an endpoint has sent, or its end, is seen on its socket; there is nothing to see of a peer's stream.
func TestPending(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	raw, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, ok := raw.(*net.TCPConn)
	if !ok {
		t.Fatalf("a %T", raw)
	}
	s, err := newSocket(conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.end(true)
	w := &wire{Conn: s}
	if w.Pending() {
		t.Error("pending on a new connection")
	}
	if err := conn.CloseRead(); err != nil {
		t.Fatal(err)
	}
	if !w.Pending() && runtime.GOOS == "linux" {
		t.Error("its end is not seen")
	}
	if (&wire{Conn: streamConn{failingStream{}}}).Pending() {
		t.Error("pending on a stream")
	}
}

func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// TestRefusalBehindAFailedWrite: a peer that refuses a stream reads no further, so that a write may fail before the refusal is read.
func TestRefusalBehindAFailedWrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after  time.Duration // that the answer takes
		unused bool
	}{
		"refused": {refusalTime / 2, true},
		"silent":  {2 * refusalTime, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := failingStream{answered: make(chan struct{}), outcome: &tunnel.RefusedError{Code: tunnelpb.Answer_CODE_DRAINING}}
				time.AfterFunc(c.after, func() { close(s.answered) })
				w := &wire{Conn: streamConn{s}}
				if _, err := w.Write([]byte("POST / HTTP/1.1")); !errors.Is(err, errWrite) {
					t.Error(err)
				}
				if unused := w.isUnused(); unused != c.unused {
					t.Errorf("unused is %v", unused)
				}
				<-s.answered
			})
		})
	}
}
