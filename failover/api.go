package failover

import (
	"context"
	"io"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// Catalog is where services, endpoints and policies come from.
type Catalog interface {
	// Snapshot is the newest state, never nil.
	Snapshot() *discovery.Snapshot
	// Changed returns a channel that is closed by the change after the call.
	Changed() <-chan struct{}
}

// Stream is one stream to or from a peer; *tunnel.Stream implements it.
type Stream interface {
	// Read blocks until the stream is accepted. It gives io.EOF only after the end record, and
	// tunnel.ErrReset when the stream was reset or cut off.
	io.Reader
	// Write may be used before the answer; it blocks on flow control and fails after a reset.
	io.Writer
	// CloseWrite sends the end record.
	CloseWrite() error
	// Reset ends both directions at once, as often as it is called.
	Reset(reason string)
	// Answered is closed once the outcome is known.
	Answered() <-chan struct{}
	// Outcome, once Answered, is nil when accepted, *tunnel.RefusedError or *tunnel.LostError.
	Outcome() error
	// Suspect is closed when the lane went silent before an answer came.
	Suspect() <-chan struct{}
	// Quiet is true when the lane was not heard from recently: bytes are held until the answer.
	Quiet() bool
	// Done is closed when the other side reset the stream or the lane died.
	Done() <-chan struct{}
	// Info names the lane.
	Info() tunnel.StreamInfo
	// Answer is the accepting answer.
	Answer() *tunnelpb.Answer
}

// Tunnels opens streams to peers.
type Tunnels interface {
	// Open picks a lane, not one of the replicas in avoid, sends the header at once and never waits for the answer.
	// Its errors are tunnel.ErrNoLane, tunnel.ErrUnknownPeer and the context's.
	Open(ctx context.Context, peer string, h *tunnel.Header, avoid []string) (Stream, error)
	// State says whether the peer can be used and how far it is.
	State(peer string) tunnel.PeerState
}

// Incoming is a stream that a peer opened; *tunnel.Incoming implements it.
type Incoming interface {
	Header() *tunnel.Header
	// Peer is the authenticated cluster.
	Peer() string
	// Accept sends the accepting answer; it comes before the first byte is written to an endpoint.
	Accept(a *tunnelpb.Answer) (Stream, error)
	// Refuse tells that nothing was written to any endpoint.
	Refuse(code tunnel.Code, reason string, retryAfter time.Duration) error
	// Context ends with the stream or its lane.
	Context() context.Context
}
