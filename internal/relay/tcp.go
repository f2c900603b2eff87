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

// TCP is an End on a TCP socket.
type TCP struct {
	conn *net.TCPConn
	raw  syscall.RawConn

	broken    chan struct{}
	breakOnce sync.Once
	forget    func() // takes the socket out of the reset watch
	// ending is set before the write side is shut down; see eof.
	ending  atomic.Bool
	endOnce sync.Once

	lazy lazyRead
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
	t := &TCP{conn: conn, raw: raw, broken: make(chan struct{}), forget: func() {}}
	t.lazy.init()
	// From here on to its clean end the socket ends with a RST, also when this process is killed: the kernel closes what is
	// open then, and an end that comes with a FIN would look as if everything had arrived.
	if err := conn.SetLinger(0); err != nil {
		t.Abort("")
		return nil, fmt.Errorf("relay: socket of %v: %w", conn.RemoteAddr(), err)
	}
	keepAlive := net.KeepAliveConfig{Enable: true, Idle: keepAliveIdle, Interval: keepAliveInterval, Count: keepAliveCount}
	if err := conn.SetKeepAliveConfig(keepAlive); err != nil {
		t.Abort("")
		return nil, fmt.Errorf("relay: keepalive of %v: %w", conn.RemoteAddr(), err)
	}
	if watch != nil {
		forget, err := watch.add(raw, t.markBroken)
		if err != nil {
			t.Abort("")
			return nil, fmt.Errorf("relay: watch %v for resets: %w", conn.RemoteAddr(), err)
		}
		t.forget = forget
	}
	return t, nil
}

// Conn is the socket, for its addresses.
func (t *TCP) Conn() *net.TCPConn { return t.conn }

// Read reads once.
func (t *TCP) Read(p []byte) (int, error) {
	n, err := t.conn.Read(p)
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

func (t *TCP) Write(p []byte) (int, error) { return t.conn.Write(p) }

// CloseWrite sends a FIN.
func (t *TCP) CloseWrite() error {
	t.ending.Store(true)
	return t.conn.CloseWrite()
}

// Abort sends a RST and drops whatever was not sent yet.
func (t *TCP) Abort(string) {
	t.endOnce.Do(func() {
		t.forget()
		_ = t.conn.Close() // with a RST, see NewTCP
	})
}

func (t *TCP) release() {
	t.endOnce.Do(func() {
		t.forget()
		_ = t.conn.SetLinger(-1)
		_ = t.conn.Close()
	})
}

// Broken is closed by the reset watch.
func (t *TCP) Broken() <-chan struct{} { return t.broken }

func (t *TCP) markBroken() { t.breakOnce.Do(func() { close(t.broken) }) }

// Interrupt makes a Read that is under way, and later ones, return an error that
// is os.ErrDeadlineExceeded without losing a byte, until Resume.
func (t *TCP) Interrupt() { _ = t.conn.SetReadDeadline(time.Unix(1, 0)) }

// Resume undoes Interrupt.
func (t *TCP) Resume() { _ = t.conn.SetReadDeadline(time.Time{}) }

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
