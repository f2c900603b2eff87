package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// tcpSession is TLS 1.3 over TCP with yamux inside.
type tcpSession struct {
	mux   *yamux.Session
	tls_  *tls.Conn
	conn  *yamuxConn
	pulse *pulseConn
	caps  Caps
	cc    string
}

// newTCPSession starts yamux on a finished TLS connection. The dialer of the connection is yamux' client.
func newTCPSession(conn *tls.Conn, pulse *pulseConn, dialed bool, wrap func(net.Conn) net.Conn) (*tcpSession, error) {
	cfg := yamux.DefaultConfig()
	cfg.AcceptBacklog = yamuxAcceptBacklog
	cfg.EnableKeepAlive = false // our own pings are faster and not fooled by bulk
	cfg.MaxStreamWindowSize = yamuxWindow
	cfg.ConnectionWriteTimeout = time.Hour // liveness is judged by pings: a slow line is not a dead one
	cfg.StreamOpenTimeout = 0
	cfg.StreamCloseTimeout = yamuxCloseTimeout
	cfg.LogOutput = io.Discard
	start := yamux.Server
	if dialed {
		start = yamux.Client
	}
	abrupt := &yamuxConn{Conn: conn, raw: pulse}
	var below net.Conn = abrupt
	if wrap != nil {
		below = wrap(abrupt)
	}
	mux, err := start(below, cfg)
	if err != nil {
		return nil, fmt.Errorf("tunnel: start yamux: %w", err)
	}
	return &tcpSession{mux: mux, tls_: conn, conn: abrupt, pulse: pulse, caps: tcpCaps(), cc: congestionControl(pulse.tcp)}, nil
}

func (s *tcpSession) Caps() Caps { return s.caps }

func (s *tcpSession) Open() (Stream, error) {
	st, err := s.mux.OpenStream()
	if err != nil {
		return nil, err
	}
	return yamuxStream{st}, nil
}

func (s *tcpSession) Accept(ctx context.Context) (Stream, error) {
	st, err := s.mux.AcceptStreamWithContext(ctx)
	if err != nil {
		return nil, err
	}
	return yamuxStream{st}, nil
}

func (s *tcpSession) Close(string)             { _ = s.mux.Close() }
func (s *tcpSession) Done() <-chan struct{}    { return s.mux.CloseChan() }
func (s *tcpSession) Alert() error             { return s.conn.alert() }
func (s *tcpSession) Heard() time.Duration     { return s.pulse.since() }
func (s *tcpSession) Move(func()) MoveResult   { return Unmoved } // not among its Caps
func (s *tcpSession) TLS() tls.ConnectionState { return s.tls_.ConnectionState() }

func (s *tcpSession) Addrs() (local, remote net.Addr) {
	return s.pulse.LocalAddr(), s.pulse.RemoteAddr()
}

func (s *tcpSession) Streams() int { return s.mux.NumStreams() }

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

// yamuxStream keeps yamux' own close for when both directions have ended: yamux forces a reset on a stream
// that stays half-closed, so a half-close is told by the end record alone.
type yamuxStream struct{ *yamux.Stream }

func (s yamuxStream) EndWrite() {}
func (s yamuxStream) Finish()   { _ = s.Close() }

func (s yamuxStream) Abort(bool) {
	past := time.Unix(1, 0)
	_ = s.SetReadDeadline(past)
	_ = s.SetWriteDeadline(past) // frees a Write that waits for window
	_ = s.Close()                // a FIN is not subject to the window; without an end record it means cut off
}

// pulseConn notes when the peer was last heard.
type pulseConn struct {
	net.Conn
	tcp  *net.TCPConn // nil: another network than the kernel's, which has nothing to tell
	born time.Time
	last atomic.Int64 // nanoseconds after born
}

func newPulseConn(c net.Conn) *pulseConn {
	tcp, _ := c.(*net.TCPConn)
	return &pulseConn{Conn: c, tcp: tcp, born: time.Now()}
}

func (c *pulseConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.last.Store(int64(time.Since(c.born)))
	}
	return n, err
}

func (c *pulseConn) since() time.Duration {
	return time.Since(c.born) - time.Duration(c.last.Load())
}
