package relay

import (
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
	lazy   lazyRead
}

// NewTCP makes conn an End, turns keepalives on and has watch notice its
// reset; a nil watch notices it only by reading or writing. It owns conn from
// here on, also when it fails.
func NewTCP(conn *net.TCPConn, watch *ResetWatch) (*TCP, error) {
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
	if watch != nil {
		var once sync.Once
		forget, err := watch.add(raw, func() { once.Do(func() { close(broken) }) })
		if err != nil {
			t.Abort("")
			return nil, fmt.Errorf("relay: watch %v for resets: %w", conn.RemoteAddr(), err)
		}
		t.forget = forget
	}
	return t, nil
}

// Read reads once.
func (t *TCP) Read(p []byte) (int, error) {
	n, err := t.tcp.Read(p)
	if n == 0 && err == io.EOF { //nolint:errorlint // net.Conn returns io.EOF itself
		err = t.eof()
	}
	return n, err
}

// eof tells a clean end from the end that a reset leaves behind: a write that
// runs at the same time may take the socket's error, and the reader is then told
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

func (t *TCP) Write(p []byte) (int, error) { return t.tcp.Write(p) }

// CloseWrite sends a FIN.
func (t *TCP) CloseWrite() error {
	t.ending.Store(true)
	return t.tcp.CloseWrite()
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
