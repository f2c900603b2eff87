package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Transport makes sessions over one kind of network. It belongs to one owner, who closes it.
type Transport interface {
	// Caps are those of the sessions that it makes, except for what a session narrows (see Session.Caps).
	Caps() Caps
	// Dial connects and authenticates; ctx bounds both and not the session.
	Dial(ctx context.Context, to Target) (Session, error)
	// Listen binds addr (IP:PORT). Sessions are authenticated by cfg and admitted by gate.
	Listen(ctx context.Context, addr string, cfg *tls.Config, gate Gate) (Listener, error)
	// Close frees what sessions and listeners have left behind, after all of them have ended.
	Close() error
}

// Target is where Dial connects to, and whom it must find there.
type Target struct {
	// Peer names the other side in errors.
	Peer string
	// Address is HOST:PORT.
	Address string
	// TLS authenticates both sides.
	TLS *tls.Config
}

// Listener accepts sessions.
type Listener interface {
	Addr() net.Addr
	// Serve authenticates inbound connections and passes each session to handle, in a goroutine of its own, until ctx ends
	// or the listener is closed. It returns when these goroutines have ended: nil, or why nothing is accepted any more.
	Serve(ctx context.Context, handle func(context.Context, Session)) error
	// Close ends Serve's accepting; sessions go on.
	Close() error
}

// Gate bounds the connections that have not been authenticated. It is safe for concurrent use.
type Gate interface {
	// Admit takes a place for a connection from that address before anything is spent on it. end, which must not block, is
	// called when the connection has to make room for another one; whether Failed follows makes no difference.
	Admit(remote net.Addr, end func()) Place
	// Overloaded is called for a connection for which there was no room, before Admit.
	Overloaded(transport string, remote net.Addr)
	// Busy asks that addresses prove to be their owners' first, where the transport can do that at the cost of a round trip.
	Busy(remote net.Addr) bool
	// Retrying is called when a connection could not be accepted and accepting goes on after a pause.
	Retrying(err error)
}

// Place is that of one connection at a Gate.
type Place interface {
	// Hello is called when the ClientHello has come, Proved when the peer is authenticated.
	Hello()
	Proved()
	// Turn waits until the connection may compute for its handshake, which few do at once: an error is why it may not. Yield gives
	// the turn back; without one it does nothing. No turn is kept while the peer is waited for.
	Turn(ctx context.Context) error
	Yield()
	// Failed is called if the handshake ends without a session.
	Failed(transport string, err error)
	// Leave gives the place back, once the session's handle has returned or the handshake has failed.
	Leave()
}

// ErrNoHello means that a connection did not begin its handshake in time.
var ErrNoHello = fmt.Errorf("no ClientHello within %v", clientHelloTimeout)

// ErrNoByte means that the other side closed a connection without having sent anything, as TCP health checks of load balancers do.
var ErrNoByte = errors.New("closed by the other side, which had sent nothing")

// ReasonOf is how metrics name handshakes that ended before they began; "" for other errors.
func ReasonOf(err error) string {
	switch {
	case errors.Is(err, ErrNoHello):
		return "no_client_hello"
	case errors.Is(err, ErrNoByte):
		return "no_byte"
	}
	return ""
}

// helloKey is where a handshake's context has what is called when the ClientHello has come.
type helloKey struct{}

func withHello(ctx context.Context, came func() error) context.Context {
	return context.WithValue(ctx, helloKey{}, came)
}

// watchHello makes a server's configuration call what withHello has in the context.
func watchHello(cfg *tls.Config) *tls.Config {
	next := cfg.GetConfigForClient
	cfg = cfg.Clone()
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if came, ok := hello.Context().Value(helloKey{}).(func() error); ok {
			if err := came(); err != nil {
				return nil, err
			}
		}
		if next == nil {
			return nil, nil //nolint:nilnil // crypto/tls: the configuration stays
		}
		return next(hello)
	}
	return cfg
}

// Caps is what a session can do.
type Caps struct {
	// Name is for logs, metrics and status: "tcp".
	Name string
	// Streams is how many streams, of both sides, may be open at a time.
	Streams int
	// Lifetime is how many streams this side can open in the session's life.
	Lifetime int64
	// DeadAfter is the silence that ends a session whose peer is heard over others.
	DeadAfter time.Duration
	// Moves: the session can move to another network path (Session.Move).
	Moves bool
	// Rank orders sessions that are equally free, the smallest first.
	Rank int
	// Lanes is how many sessions a link keeps, MaxLanes up to how many it dials under load.
	Lanes, MaxLanes int
}

// Session is one authenticated connection that carries many streams.
type Session interface {
	Caps() Caps
	// Open starts a stream. The peer learns of it with its first byte.
	Open() (Stream, error)
	// Accept waits for a stream of the peer's.
	Accept(ctx context.Context) (Stream, error)
	// Close ends the session and all its streams at once; a second call does nothing.
	Close(reason string)
	// Done is closed when the session has ended.
	Done() <-chan struct{}
	// Alert is the TLS alert with which the peer ended the session, if it did.
	Alert() error
	// Heard is the time since the last inbound byte of the peer's process.
	Heard() time.Duration
	// Progress is the time since the path was last seen to work (bytes, or acknowledgements from the peer's kernel).
	Progress() time.Duration
	// Move looks for another network path until the peer is heard or the session has ended. It calls ping, which sends
	// something, as often as it needs an answer. Only with Caps.Moves, and one call at a time.
	Move(ping func()) MoveResult

	TLS() tls.ConnectionState
	Addrs() (local, remote net.Addr)
	Stats() Stats
	// Charge makes what the session's streams hold unread from now on count against a budget: a stream that it has no room for
	// fails with ErrMemory. It is called once, before streams are opened or accepted for others.
	Charge(b *Budget)
	// Streams counts those that the session itself holds, where that can differ from what its user counts.
	Streams() int
	// Limits counts how often each of the session's limits was met; nil: none was. It may be called after the end.
	Limits() map[Limit]uint64
}

// Limit is a bound that streams meet, as the metric names it.
type Limit string

// Limits of a session.
const (
	LimitBacklog  Limit = "backlog"      // a stream of the peer's was refused: too many wait to be accepted here
	LimitPeer     Limit = "peer_backlog" // a stream of ours was refused, or not opened: too many wait to be accepted there
	LimitBuffer   Limit = "buffer"       // a stream got little more than the least window: others were given the rest
	LimitMemory   Limit = "memory"       // a stream was reset: its unread bytes have no room in the peer's budget
	LimitWindow   Limit = "window"       // the session ended: the peer sent more than a stream's window
	LimitRefusals Limit = "refusals"     // the session ended: the peer opens streams and does not read that they are refused
)

// Stats are counters and measurements of one session.
type Stats struct {
	// Congestion is the congestion control algorithm.
	Congestion string
	// RTT is as the transport measures it; 0 where it does not.
	RTT time.Duration
	// Sent and Lost count packets or segments.
	Sent, Lost uint64
}

// Stream is one stream of a session: bytes without meaning.
type Stream interface {
	io.Reader
	io.Writer
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	// EndWrite is called after the last Write, whose bytes show the peer that it was the last.
	EndWrite()
	// Finish is called once both directions have ended like that. It never waits for the network.
	Finish()
	// Abort gives both directions up and never waits for the network. What was written before may still arrive, unless a
	// Write is under way. What still comes from the peer takes no memory.
	Abort(writing bool)
}

// MoveResult is what became of the search for another path.
type MoveResult string

// Results of Session.Move, as the metric names them.
const (
	Moved     MoveResult = "moved"     // a new path is in use
	Recovered MoveResult = "recovered" // the old one works again
	Failed    MoveResult = "failed"    // the session has ended
	Unmoved   MoveResult = ""          // nothing was tried
)

// ErrClosed means that the session or the transport has been closed.
var ErrClosed = errors.New("connection closed")

// HandshakeTimeout bounds TCP connect + TLS, or the QUIC handshake.
const HandshakeTimeout = 5 * time.Second
