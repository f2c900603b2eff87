package relay

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// TCP is a Socket on a TCP socket of this host.
type TCP struct {
	socket
	tcp *net.TCPConn // socket.conn
	raw syscall.RawConn
	// ending is set before the write side is shut down; see eof.
	ending atomic.Bool
	// vanished is set before the socket is closed because the host behind it does not answer.
	vanished atomic.Bool
	lazy     lazyRead
}

// NewTCP makes conn an End, turns keepalives on, has urgent data arrive in line (the kernel drops it otherwise) and has watch
// notice its reset and a host that vanishes. With a nil watch a reset is noticed by reading or writing only. It owns conn from
// here on, also when it fails.
func NewTCP(conn *net.TCPConn, watch *Watch) (*TCP, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("relay: socket of %v: %w", conn.RemoteAddr(), err)
	}
	broken := make(chan struct{})
	t := &TCP{socket: socket{conn: conn, broken: broken, forget: func() {}}, tcp: conn, raw: raw}
	t.lazy.init()
	if err := t.resetOnClose(); err != nil {
		return nil, err
	}
	keepAlive := net.KeepAliveConfig{Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount}
	if err := conn.SetKeepAliveConfig(keepAlive); err != nil {
		t.Abort("")
		return nil, fmt.Errorf("relay: keepalive of %v: %w", conn.RemoteAddr(), err)
	}
	if err := oobInline(raw); err != nil {
		t.Abort("")
		return nil, fmt.Errorf("relay: socket of %v: %w", conn.RemoteAddr(), err)
	}
	if watch != nil {
		markBroken := sync.OnceFunc(func() { close(broken) })
		w := &watched{socket: raw, reset: markBroken, gone: func() {
			t.vanished.Store(true)
			t.Abort("")
			markBroken()
		}}
		t.forget = func() { watch.forget(w) }
		if err := watch.add(w); err != nil {
			t.Abort("")
			return nil, fmt.Errorf("relay: watch %v for resets: %w", conn.RemoteAddr(), err)
		}
	}
	return t, nil
}

// Read reads once.
func (t *TCP) Read(p []byte) (int, error) {
	n, err := t.tcp.Read(p)
	switch {
	case err == nil:
	case n == 0 && err == io.EOF: //nolint:errorlint // net.Conn returns io.EOF itself
		err = t.eof()
	default:
		err = t.cause(err)
	}
	return n, err
}

// Pending is true when there is something to read from a TCP socket: bytes, its end, or an error. Another goroutine may be waiting for
// it; its wake-up takes longer than this look. Of a Conn above the socket, such as TLS, it is true when the socket holds the end of TLS, or
// has ended itself.
func Pending(s Socket) bool {
	switch s := s.(type) {
	case *TCP:
		return pending(s.raw)
	case *layered:
		return s.pending()
	}
	return false
}

// cause replaces the error of a socket that was closed because its host vanished, and one that does not say what the socket has.
func (t *TCP) cause(err error) error {
	switch {
	case t.vanished.Load() && isClosed(err):
		return errVanished
	case isUnpollable(err):
		return socketError(t.raw)
	}
	return err
}

// isUnpollable is true for the error that Go's poller gives when a socket's event tells of an error and of nothing else: a reset does,
// for a moment, before the kernel has closed the socket. Go does not export it. net wraps it once; the text of the whole would be made
// for each deadline.
func isUnpollable(err error) bool {
	cause := errors.Unwrap(err)
	return cause != nil && cause.Error() == "not pollable"
}

// eof separates a clean end from the end that a reset leaves behind: a write that
// runs at the same time may take the socket's error, and the reader then sees
// "no more data". A socket in state CLOSE whose write side we have not shut
// down was reset. The order matters: the state is looked at first, so that a
// shutdown between the two looks cannot make a clean end look like a reset. Once we did shut
// down, every write had succeeded, so that none can have taken an error.
func (t *TCP) eof() error {
	if socketClosed(t.raw) && !t.ending.Load() {
		return ErrReset
	}
	return io.EOF
}

func (t *TCP) Write(p []byte) (int, error) {
	n, err := t.tcp.Write(p)
	if err != nil {
		err = t.cause(err)
	}
	return n, err
}

// CloseWrite sends a FIN.
func (t *TCP) CloseWrite() error {
	t.ending.Store(true)
	if err := t.tcp.CloseWrite(); err != nil {
		return t.cause(err)
	}
	return nil
}

func (t *TCP) flush() {
	if unsent(t.raw) == 0 {
		return
	}
	tick := time.NewTicker(flushStep)
	defer tick.Stop()
	for deadline := time.Now().Add(flushMax); time.Now().Before(deadline); <-tick.C {
		if unsent(t.raw) == 0 {
			return
		}
	}
}
