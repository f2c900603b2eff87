package tunnel

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// Application error codes on QUIC connections and streams; they carry no meaning, resets are told on the control connection.
const (
	quicClosed quic.ApplicationErrorCode = 0
	quicReset  quic.StreamErrorCode      = 1
)

func quicConfig() *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout:           handshakeTimeout,
		MaxIdleTimeout:                 quicIdleTimeout,
		InitialStreamReceiveWindow:     quicStreamWindow,
		MaxStreamReceiveWindow:         quicStreamWindow,
		InitialConnectionReceiveWindow: quicConnWindow,
		MaxConnectionReceiveWindow:     quicConnWindow,
		MaxIncomingStreams:             quicStreams,
		MaxIncomingUniStreams:          -1,
		Allow0RTT:                      false, // 0-RTT data can be replayed
	}
}

type quicSession struct {
	conn   *quic.Conn
	socket *movingSocket // its own, when this side has dialled; else nil
	born   time.Time
	// searching is true while another path is looked for.
	searching atomic.Bool
	// Inbound packets as last counted, and when the count last changed (nanoseconds after born). A packet
	// may be a mere acknowledgement, but QUIC runs in the peer's process: it proves that the process lives.
	packets atomic.Uint64
	last    atomic.Int64
}

func newQUICSession(conn *quic.Conn) *quicSession {
	return &quicSession{conn: conn, born: time.Now()}
}

func (s *quicSession) open() (rawStream, error) {
	st, err := s.conn.OpenStream() // fails at once at the peer's limit
	if err != nil {
		return nil, err
	}
	return quicStream{st}, nil
}

func (s *quicSession) accept(ctx context.Context) (rawStream, error) {
	st, err := s.conn.AcceptStream(ctx)
	if err != nil {
		return nil, err
	}
	return quicStream{st}, nil
}

func (s *quicSession) close(reason string)           { _ = s.conn.CloseWithError(quicClosed, reason) }
func (s *quicSession) done() <-chan struct{}         { return s.conn.Context().Done() }
func (s *quicSession) alert() error                  { return context.Cause(s.conn.Context()) }
func (s *quicSession) transport() string             { return "quic" }
func (s *quicSession) tlsState() tls.ConnectionState { return s.conn.ConnectionState().TLS }

func (s *quicSession) addrs() (local, remote net.Addr) {
	if s.socket != nil {
		return s.socket.LocalAddr(), s.conn.RemoteAddr()
	}
	return s.conn.LocalAddr(), s.conn.RemoteAddr()
}

// received counts inbound packets.
func (s *quicSession) received() uint64 { return s.conn.ConnectionStats().PacketsReceived }

// heard is as exact as it is often called: each link does so every tick.
func (s *quicSession) heard() time.Duration {
	now := time.Since(s.born)
	if n := s.received(); n != s.packets.Swap(n) {
		s.last.Store(int64(now))
	}
	return now - time.Duration(s.last.Load())
}

func (s *quicSession) streams() int            { return 0 } // bounded by quicStreams
func (s *quicSession) progress() time.Duration { return s.heard() }

func (s *quicSession) stats() sessionStats {
	st := s.conn.ConnectionStats()
	return sessionStats{
		congestion: "newreno", rtt: st.SmoothedRTT,
		sent: st.PacketsSent, lost: st.PacketsLost, window: quicStreams,
	}
}

type quicStream struct{ *quic.Stream }

func (s quicStream) endWrite() { _ = s.Close() }

// finish frees the receiving side, which otherwise waits for someone to read the FIN behind the end record.
func (s quicStream) finish() { s.CancelRead(quicReset) }

func (s quicStream) abort(writing bool) {
	if writing {
		s.CancelWrite(quicReset)
	} else {
		_ = s.Close() // what was written still arrives; without an end record it means cut off
	}
	s.CancelRead(quicReset)
}
