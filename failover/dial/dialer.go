package dial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/originate"
	"github.com/eastway/eastway/failover/proxyproto"
	"github.com/eastway/eastway/internal/relay"
	"github.com/eastway/eastway/internal/shortage"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

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
	// SetReadDeadline bounds Read once the stream is accepted, as that of a net.Conn.
	SetReadDeadline(t time.Time) error
	// Retired is true when the stream's lane takes no new streams: what begins now is better sent over another one.
	Retired() bool
}

// Tunnels opens streams to peers.
type Tunnels interface {
	// Open picks a lane, not one of the replicas in avoid, sends the header at once and never waits for the answer.
	// Its errors are tunnel.ErrNoLane, tunnel.ErrFull, tunnel.ErrUnknownPeer and the context's.
	Open(ctx context.Context, peer string, h *tunnel.Header, avoid []string) (Stream, error)
	// State is whether the peer can be used and how far it is.
	State(peer string) tunnel.PeerState
}

// Network dials endpoints of the own cluster. Its connections are relay.Conns.
type Network interface {
	Dial(ctx context.Context, endpoint netip.AddrPort) (net.Conn, error)
}

// How connecting can fail, beside the end of the context.
var (
	// ErrNoEndpoint: there was nothing to try, or nothing that was tried accepted.
	ErrNoEndpoint = errors.New("no endpoint accepted the connection")
	// ErrUnknownOutcome: the lane died after bytes of the application were sent and before the answer.
	ErrUnknownOutcome = errors.New("the lane was lost after data was sent: unknown whether it was used")
	// ErrClientReset: the application or peer went away first.
	ErrClientReset = errors.New("the client reset the connection")
	// ErrForbidden: no endpoint may have the address.
	ErrForbidden = errors.New("the address may not be an endpoint")
	// ErrBudget: all attempts together took too long.
	ErrBudget = errors.New("no endpoint accepted the connection in time")
)

// Config is what a Dialer needs. Network is for local endpoints, Tunnels for peers.
type Config struct {
	// Cluster is the name of the own one, Locality where this proxy is.
	Cluster  string
	Locality discovery.Locality
	Network  Network
	Tunnels  Tunnels
	// Forbidden is why an address of the own cluster is not dialed, an error with ErrForbidden; nil: all are.
	Forbidden func(endpoint netip.AddrPort) error
	// Short is called when a dial failed because this host is short of something, or has no route; nil: that is not reported.
	Short func(of shortage.Resource, endpoint netip.AddrPort, err error)
	// Secure makes TLS on a connection to an endpoint that gets it, and owns the connection; nil: no endpoint does. A failed one is an
	// *originate.Error.
	Secure func(ctx context.Context, conn relay.Conn, to originate.To) (relay.Conn, error)
	// Attempted is called with the result of each attempt; nil: it is not counted.
	Attempted func(a balance.Address, result string)
}

// Dialer connects to candidates.
type Dialer struct{ cfg Config }

// New makes a Dialer.
func New(cfg Config) *Dialer {
	if cfg.Attempted == nil {
		cfg.Attempted = func(balance.Address, string) {}
	}
	if cfg.Short == nil {
		cfg.Short = func(shortage.Resource, netip.AddrPort, error) {}
	}
	if cfg.Forbidden == nil {
		cfg.Forbidden = func(netip.AddrPort) error { return nil }
	}
	return &Dialer{cfg: cfg}
}

// Request is a connection that is to be made.
type Request struct {
	Key balance.Key
	// Caller is the IP:PORT that peers learn, with where it is.
	Caller         string
	CallerLocality discovery.Locality
	// Early is what the application sends before an endpoint has accepted; nil for protocols that read nothing before.
	Early *Early
	// HTTP: the connection is for HTTP requests, which a peer may carry one by one.
	HTTP bool
	// H2: those requests are HTTP/2.
	H2 bool
	// Eager: a peer that is tried alone, over a lane that was just heard from, need not have answered: the Conn is Pending.
	Eager bool
	// Exempt: it is made whether its endpoint has room or not.
	Exempt bool
	// Broken is closed when the application is gone; nil: that is not noticed.
	Broken <-chan struct{}
	// Budget bounds all attempts together.
	Budget time.Duration
	// Life ends local dials that are heard out; it outlives the connection.
	Life context.Context
	// Attempts counts the goroutines of attempts. The caller has to wait for them, up to localVerdict.
	Attempts *sync.WaitGroup
}

// Conn is a connection that a candidate accepted. It counts in the candidate's load until Use.Done.
type Conn struct {
	balance.Candidate
	Use *balance.Use
	// Socket is that of a local endpoint, Stream that of a peer; the other one is nil.
	Socket relay.Conn
	Stream Stream
	// Pending: the peer has not answered. Conclude reports what came of it.
	Pending bool
}

// Connect tries the candidates until one accepts; the error is balance.ErrFull if all that is left have no room by now. The attempts are for
// the access log, and are there also with an error.
func (d *Dialer) Connect(ctx context.Context, r *Request, candidates []balance.Candidate) (*Conn, []access.Attempt, error) {
	c := &race{Dialer: d, Request: r, results: make(chan *attempt), quit: make(chan struct{})}
	for i := range candidates {
		c.queue = append(c.queue, entrant{Candidate: candidates[i]})
	}
	won, err := c.run(ctx)
	if err != nil {
		return nil, c.attempts, err
	}
	return &Conn{Candidate: won.Candidate, Use: won.use, Socket: won.conn, Stream: won.stream, Pending: won.pending}, c.attempts, nil
}

// Introduce writes the header of the PROXY protocol to an endpoint that expects one. It comes before the first byte of the caller, after
// the endpoint has been chosen: an endpoint that is not chosen gets nothing. A new socket takes it without blocking. The connection is
// reset if it fails.
func (c *Conn) Introduce(from proxyproto.Caller) error {
	if !c.ProxyProtocol {
		return nil
	}
	if _, err := c.Socket.Write(proxyproto.Header(from, c.Endpoint)); err != nil {
		_ = c.Socket.SetLinger(0)
		_ = c.Socket.Close()
		return fmt.Errorf("failover: send the PROXY protocol header to %v: %w", c.Endpoint, err)
	}
	return nil
}

// Leave ends a connection to an endpoint that was only to be made, and clean: the endpoint need not think that something went wrong.
func (c *Conn) Leave() { leave(c.Socket, c.ProxyProtocol) }

func leave(conn relay.Conn, proxied bool) {
	if proxied {
		_, _ = conn.Write(proxyproto.Local()) // the connect is what counts
	}
	_ = conn.SetLinger(-1)
	_ = conn.Close()
}

// Local connects to an endpoint of the own cluster beside any call, for its health check; proxied: it expects the header of the PROXY
// protocol. Closed, the connection ends clean. An error that means nothing for the endpoint wraps balance.ErrInconclusive.
func (d *Dialer) Local(ctx context.Context, to originate.To, proxied bool) (net.Conn, error) {
	conn, err := d.dialLocal(ctx, to)
	if err == nil && proxied {
		_, err = conn.Write(proxyproto.Local())
		if err != nil {
			_ = conn.Close()
		}
	}
	if isInconclusive(err) {
		return nil, fmt.Errorf("%w: %w", balance.ErrInconclusive, err)
	}
	if err != nil {
		return nil, err
	}
	return clean{conn}, nil
}

// clean is a connection that ends clean.
type clean struct{ relay.Conn }

// Close implements net.Conn.
func (c clean) Close() error {
	leave(c.Conn, false)
	return nil
}

// dialLocal connects to a local endpoint, and makes TLS where it gets that.
func (d *Dialer) dialLocal(ctx context.Context, to originate.To) (relay.Conn, error) {
	conn, err := d.dialPlain(ctx, to.Address)
	if err != nil || to.TLS == nil {
		return conn, err
	}
	return d.cfg.Secure(ctx, conn, to)
}

func (d *Dialer) dialPlain(ctx context.Context, to netip.AddrPort) (relay.Conn, error) {
	if err := d.cfg.Forbidden(to); err != nil {
		return nil, fmt.Errorf("failover: dial %v: %w", to, err)
	}
	conn, err := d.cfg.Network.Dial(ctx, to)
	if err != nil {
		if of := shortage.Of(err); of != "" {
			d.cfg.Short(of, to, err)
		} else if shortage.NoRoute(err) {
			d.cfg.Short(shortage.Routes, to, err)
		}
		return nil, err
	}
	c, err := relay.AsConn(conn)
	if err != nil {
		return nil, fmt.Errorf("failover: dial %v: %w", to, err)
	}
	return c, nil
}
