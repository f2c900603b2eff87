package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// Application error codes on QUIC connections and streams; they carry no meaning, resets are sent on the control connection.
const (
	quicClosed quic.ApplicationErrorCode = 0
	quicReset  quic.StreamErrorCode      = 1
)

func quicConfig() *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout:           HandshakeTimeout,
		MaxIdleTimeout:                 quicIdleTimeout,
		InitialPacketSize:              quicPacketSize,
		DisablePathMTUDiscovery:        true,
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
	socket *movingSocket // its own, when this side has dialed; else nil
	caps   Caps
	born   time.Time
	// Inbound packets as last counted, and when the count last changed (nanoseconds after born). A packet
	// may be a mere acknowledgement, but QUIC runs in the peer's process: it proves that the process lives.
	packets atomic.Uint64
	last    atomic.Int64
	// budget is what streams that are not read count against; overflows are those that it had no room for.
	budget    atomic.Pointer[Budget]
	overflows atomic.Uint64
}

// newQUICSession takes a connection over; without a socket of its own it cannot move.
func newQUICSession(conn *quic.Conn, socket *movingSocket) *quicSession {
	caps := quicCaps()
	caps.Moves = socket != nil
	return &quicSession{conn: conn, socket: socket, caps: caps, born: time.Now()}
}

func (s *quicSession) Caps() Caps { return s.caps }

func (s *quicSession) Open() (Stream, error) {
	st, err := s.conn.OpenStream() // fails at once at the peer's limit
	if err != nil {
		return nil, err
	}
	return newQUICStream(s, st)
}

func (s *quicSession) Accept(ctx context.Context) (Stream, error) {
	for {
		st, err := s.conn.AcceptStream(ctx)
		if err != nil {
			return nil, err
		}
		if qs, err := newQUICStream(s, st); err == nil { // else it is refused, and counted
			return qs, nil
		}
	}
}

// Charge implements Session.
func (s *quicSession) Charge(b *Budget) { s.budget.Store(b) }

func (s *quicSession) Close(reason string)      { _ = s.conn.CloseWithError(quicClosed, reason) }
func (s *quicSession) Done() <-chan struct{}    { return s.conn.Context().Done() }
func (s *quicSession) TLS() tls.ConnectionState { return s.conn.ConnectionState().TLS }

func (s *quicSession) Alert() error {
	err := context.Cause(s.conn.Context())
	if te, ok := errors.AsType[*quic.TransportError](err); ok && te.Remote && te.ErrorCode.IsCryptoError() {
		return err
	}
	return nil
}

func (s *quicSession) Addrs() (local, remote net.Addr) {
	if s.socket != nil {
		return s.socket.LocalAddr(), s.conn.RemoteAddr()
	}
	return s.conn.LocalAddr(), s.conn.RemoteAddr()
}

// received counts inbound packets.
func (s *quicSession) received() uint64 { return s.conn.ConnectionStats().PacketsReceived }

// Heard is as exact as it is often called: each link does so every tick.
func (s *quicSession) Heard() time.Duration {
	now := time.Since(s.born)
	if n := s.received(); n != s.packets.Swap(n) {
		s.last.Store(int64(now))
	}
	return now - time.Duration(s.last.Load())
}

func (s *quicSession) Streams() int            { return 0 } // bounded by quicStreams
func (s *quicSession) Progress() time.Duration { return s.Heard() }

// Limits implements Session. Of the others, flow control holds up what exceeds them.
func (s *quicSession) Limits() map[Limit]uint64 {
	if n := s.overflows.Load(); n > 0 {
		return map[Limit]uint64{LimitMemory: n}
	}
	return nil
}

func (s *quicSession) Stats() Stats {
	st := s.conn.ConnectionStats()
	return Stats{Congestion: "newreno", RTT: st.SmoothedRTT, Sent: st.PacketsSent, Lost: st.PacketsLost}
}
