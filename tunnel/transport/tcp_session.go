package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// tcpSession is TLS 1.3 over TCP with a mux inside.
type tcpSession struct {
	mux   *mux
	tls_  *tls.Conn
	pulse *pulseConn
	caps  Caps
	cc    string
}

// newTCPSession starts the mux on a finished TLS connection over pulse.
func newTCPSession(conn *tls.Conn, pulse *pulseConn, dialed bool) *tcpSession {
	s := &tcpSession{tls_: conn, pulse: pulse, caps: tcpCaps(), cc: congestionControl(pulse.tcp)}
	// The socket is closed without first trying to write a TLS alert, which would wait for a peer that does not read.
	// Truncation is noticed by end records, so the alert has no use here.
	s.mux = newMux(records{conn, pulse}, func() { _ = pulse.Close() }, s.window, dialed)
	return s
}

// records writes all TLS records of one Write in one system call.
type records struct {
	*tls.Conn
	below *pulseConn
}

func (r records) Write(p []byte) (int, error) {
	r.below.hold()
	n, err := r.Conn.Write(p)
	return n, errors.Join(err, r.below.flush())
}

// window is a new stream's receive window: larger on a line that is long.
func (s *tcpSession) window() int {
	if info, ok := readTCPInfo(s.pulse.tcp); ok && info.rtt > farRTT {
		return farWindow
	}
	return muxWindow
}

func (s *tcpSession) Caps() Caps { return s.caps }

func (s *tcpSession) Open() (Stream, error) {
	st, err := s.mux.open()
	if err != nil {
		return nil, err
	}
	return st, nil
}

func (s *tcpSession) Accept(ctx context.Context) (Stream, error) {
	st, err := s.mux.accept(ctx)
	if err != nil {
		return nil, err
	}
	return st, nil
}

func (s *tcpSession) Close(string)             { s.mux.close() }
func (s *tcpSession) Done() <-chan struct{}    { return s.mux.done }
func (s *tcpSession) Heard() time.Duration     { return s.pulse.since() }
func (s *tcpSession) Move(func()) MoveResult   { return Unmoved } // not among its Caps
func (s *tcpSession) TLS() tls.ConnectionState { return s.tls_.ConnectionState() }

func (s *tcpSession) Alert() error {
	if op := s.mux.alert.Load(); op != nil {
		return op
	}
	return nil
}

func (s *tcpSession) Addrs() (local, remote net.Addr) {
	return s.pulse.LocalAddr(), s.pulse.RemoteAddr()
}

func (s *tcpSession) Charge(b *Budget) { s.mux.charge(b) }

func (s *tcpSession) Streams() int { return s.mux.count() }

func (s *tcpSession) Limits() map[Limit]uint64 { return s.mux.limits() }

func (s *tcpSession) Progress() time.Duration {
	heard := s.Heard()
	// While something of ours is unacknowledged, an acknowledgement proves that the path works
	// although a ping waits behind bulk data.
	if info, ok := readTCPInfo(s.pulse.tcp); ok && info.unacked > 0 && info.lastAck < heard {
		return info.lastAck
	}
	return heard
}

func (s *tcpSession) Stats() Stats {
	st := Stats{Congestion: s.cc}
	if info, ok := readTCPInfo(s.pulse.tcp); ok {
		st.RTT, st.Sent, st.Lost = info.rtt, info.sent, info.retransmitted
	}
	return st
}

// pulseConn notes when the peer was last heard, and can collect what is written.
type pulseConn struct {
	net.Conn
	tcp  *net.TCPConn // nil: another network than the kernel's, without TCP_INFO
	born time.Time
	last atomic.Int64 // nanoseconds after born

	lock chan struct{} // guards held and writing; a channel, so that time passes in a bubble while it is waited for
	held *heldRecords  // nil: writes go out at once
}

// heldRecords has room for a mux write in TLS records.
type heldRecords struct {
	n   int
	buf [72 << 10]byte
}

//nolint:gochecknoglobals // a pool of memory
var heldPool = sync.Pool{New: func() any { return new(heldRecords) }}

func newPulseConn(c net.Conn) *pulseConn {
	tcp, _ := c.(*net.TCPConn)
	return &pulseConn{Conn: c, tcp: tcp, born: time.Now(), lock: make(chan struct{}, 1)}
}

func (c *pulseConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.last.Store(int64(time.Since(c.born)))
	}
	return n, err
}

// hold collects what is written until flush.
func (c *pulseConn) hold() {
	c.lock <- struct{}{}
	defer func() { <-c.lock }()
	c.held, _ = heldPool.Get().(*heldRecords)
	c.held.n = 0
}

func (c *pulseConn) flush() error {
	c.lock <- struct{}{}
	defer func() { <-c.lock }()
	h := c.held
	c.held = nil
	_, err := c.Conn.Write(h.buf[:h.n])
	heldPool.Put(h)
	return err
}

func (c *pulseConn) Write(p []byte) (int, error) {
	c.lock <- struct{}{}
	defer func() { <-c.lock }()
	h := c.held
	if h == nil {
		return c.Conn.Write(p)
	}
	if h.n+len(p) > len(h.buf) {
		if _, err := c.Conn.Write(h.buf[:h.n]); err != nil {
			return 0, err
		}
		h.n = 0
	}
	if len(p) > len(h.buf) {
		return c.Conn.Write(p)
	}
	h.n += copy(h.buf[h.n:], p)
	return len(p), nil
}

func (c *pulseConn) since() time.Duration {
	return time.Since(c.born) - time.Duration(c.last.Load())
}
