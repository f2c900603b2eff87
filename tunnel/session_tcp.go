package tunnel

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
	cc    string
}

// newTCPSession starts yamux on a finished TLS connection. The dialler of the connection is yamux' client.
func newTCPSession(conn *tls.Conn, pulse *pulseConn, dialed bool) (*tcpSession, error) {
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
	mux, err := start(abrupt, cfg)
	if err != nil {
		return nil, fmt.Errorf("tunnel: start yamux: %w", err)
	}
	return &tcpSession{mux: mux, tls_: conn, conn: abrupt, pulse: pulse, cc: congestionControl(pulse.tcp)}, nil
}

func (s *tcpSession) open() (rawStream, error) {
	st, err := s.mux.OpenStream()
	if err != nil {
		return nil, err
	}
	return yamuxStream{st}, nil
}

func (s *tcpSession) accept(ctx context.Context) (rawStream, error) {
	st, err := s.mux.AcceptStreamWithContext(ctx)
	if err != nil {
		return nil, err
	}
	return yamuxStream{st}, nil
}

func (s *tcpSession) close(string)                  { _ = s.mux.Close() }
func (s *tcpSession) done() <-chan struct{}         { return s.mux.CloseChan() }
func (s *tcpSession) alert() error                  { return s.conn.alert() }
func (s *tcpSession) heard() time.Duration          { return s.pulse.since() }
func (s *tcpSession) transport() string             { return "tcp" }
func (s *tcpSession) tlsState() tls.ConnectionState { return s.tls_.ConnectionState() }

func (s *tcpSession) addrs() (local, remote net.Addr) {
	return s.pulse.LocalAddr(), s.pulse.RemoteAddr()
}

func (s *tcpSession) streams() int { return s.mux.NumStreams() }

func (s *tcpSession) progress() time.Duration {
	heard := s.heard()
	// While something of ours is unacknowledged, an acknowledgement proves that the path works
	// although a ping waits behind bulk data.
	if info, ok := readTCPInfo(s.pulse.tcp); ok && info.unacked > 0 && info.lastAck < heard {
		return info.lastAck
	}
	return heard
}

func (s *tcpSession) stats() sessionStats {
	st := sessionStats{congestion: s.cc, window: maxLaneStreams}
	if info, ok := readTCPInfo(s.pulse.tcp); ok {
		st.rtt, st.sent, st.lost = info.rtt, info.sent, info.retransmitted
	}
	return st
}

// yamuxStream keeps yamux' own close for when both directions have ended: yamux forces a reset on a stream
// that stays half-closed, so a half-close is told by the end record alone.
type yamuxStream struct{ *yamux.Stream }

func (s yamuxStream) endWrite() {}
func (s yamuxStream) finish()   { _ = s.Close() }

func (s yamuxStream) abort(bool) {
	past := time.Unix(1, 0)
	_ = s.SetReadDeadline(past)
	_ = s.SetWriteDeadline(past) // frees a Write that waits for window
	_ = s.Close()                // a FIN is not subject to the window; without an end record it means cut off
}

// pulseConn notes when the peer was last heard.
type pulseConn struct {
	net.Conn
	tcp  *net.TCPConn
	born time.Time
	last atomic.Int64 // nanoseconds after born
}

func newPulseConn(c *net.TCPConn) *pulseConn {
	return &pulseConn{Conn: c, tcp: c, born: time.Now()}
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
