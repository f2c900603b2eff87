package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// fakeCatalog serves hand-made snapshots.
type fakeCatalog struct {
	mu      sync.Mutex
	s       *discovery.Snapshot
	changed chan struct{}
	failing map[netip.AddrPort]string
}

func newFakeCatalog(s *discovery.Snapshot) *fakeCatalog {
	return &fakeCatalog{s: s, changed: make(chan struct{})}
}

func (c *fakeCatalog) Snapshot() *discovery.Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s
}

func (c *fakeCatalog) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

func (c *fakeCatalog) SetUnhealthy(reasons map[discovery.EndpointRef]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failing == nil {
		c.failing = make(map[netip.AddrPort]string)
	}
	for ref, reason := range reasons {
		c.failing[ref.Address] = reason
	}
}

// unhealthy is why an endpoint fails its health check.
func (c *fakeCatalog) unhealthy(at netip.AddrPort) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failing[at]
}

func (c *fakeCatalog) set(s *discovery.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s = s
	close(c.changed)
	c.changed = make(chan struct{})
}

// pipe is one direction of a fake stream: bounded, ended by an end record or an error.
type pipe struct {
	mu    sync.Mutex
	cond  *sync.Cond
	data  []byte
	ended bool
	err   error
	total []byte // everything ever written
	late  bool   // the read deadline has passed
	timer *time.Timer
}

const pipeWindow = 32 << 10

func newPipe() *pipe {
	p := &pipe{}
	p.cond = sync.NewCond(&p.mu)
	return p
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.data) == 0 && !p.ended && p.err == nil && !p.late {
		p.cond.Wait()
	}
	if p.late {
		return 0, os.ErrDeadlineExceeded
	}
	if len(p.data) > 0 {
		n := copy(b, p.data)
		p.data = p.data[n:]
		p.cond.Broadcast()
		return n, nil
	}
	if p.err != nil {
		return 0, p.err
	}
	return 0, io.EOF
}

// readBy sets the read deadline.
func (p *pipe) readBy(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	switch p.late = !t.IsZero() && !t.After(time.Now()); {
	case p.late:
		p.cond.Broadcast()
	case !t.IsZero():
		p.timer = time.AfterFunc(time.Until(t), func() { p.readBy(time.Unix(1, 0)) })
	}
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := 0; ; {
		for len(p.data) >= pipeWindow && p.err == nil && !p.ended {
			p.cond.Wait()
		}
		switch {
		case p.err != nil:
			return n, p.err
		case p.ended:
			return n, io.ErrClosedPipe
		}
		k := min(len(b)-n, pipeWindow-len(p.data))
		p.data = append(p.data, b[n:n+k]...)
		p.total = append(p.total, b[n:n+k]...)
		p.cond.Broadcast()
		if n += k; n == len(b) {
			return n, nil
		}
	}
}

func (p *pipe) end() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil && p.ended {
		return io.ErrClosedPipe // as a tunnel's stream
	}
	if p.err == nil {
		p.ended = true
	}
	p.cond.Broadcast()
	return p.err
}

func (p *pipe) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
	p.cond.Broadcast()
}

// written is everything ever written and whether the end was.
func (p *pipe) written() (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.total), p.ended
}

// fakeStream is one end of a fake stream.
type fakeStream struct {
	io.Reader
	in, out  *pipe
	shared   *fakeLink
	replica  string
	quiet    bool
	suspect  chan struct{}
	answered chan struct{}
	once     sync.Once
	outcome  error
	answer   *tunnelpb.Answer
}

// fakeLink is what both ends of a stream share.
type fakeLink struct {
	done   chan struct{}
	once   sync.Once
	reason string
	cancel context.CancelFunc
}

func (s *fakeStream) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s *fakeStream) Write(b []byte) (int, error) { return s.out.Write(b) }
func (s *fakeStream) CloseWrite() error           { return s.out.end() }
func (s *fakeStream) Retired() bool               { return false }

func (s *fakeStream) SetReadDeadline(t time.Time) error {
	s.in.readBy(t)
	return nil
}

func (s *fakeStream) Reset(reason string) {
	s.shared.once.Do(func() {
		s.shared.reason = reason
		close(s.shared.done)
	})
	s.shared.cancel()
	s.in.fail(tunnel.ErrReset)
	s.out.fail(tunnel.ErrReset)
	s.settle(nil, &tunnel.LostError{Sent: s.sent(), Err: errors.New("reset")})
}

func (s *fakeStream) sent() bool {
	data, ended := s.out.written()
	return len(data) > 0 || ended
}

func (s *fakeStream) settle(a *tunnelpb.Answer, outcome error) {
	s.once.Do(func() {
		s.answer, s.outcome = a, outcome
		close(s.answered)
	})
}

func (s *fakeStream) Answered() <-chan struct{} { return s.answered }
func (s *fakeStream) Outcome() error            { return s.outcome }
func (s *fakeStream) Suspect() <-chan struct{}  { return s.suspect }
func (s *fakeStream) Quiet() bool               { return s.quiet }
func (s *fakeStream) Done() <-chan struct{}     { return s.shared.done }
func (s *fakeStream) Answer() *tunnelpb.Answer  { return s.answer }
func (s *fakeStream) Info() tunnel.StreamInfo {
	return tunnel.StreamInfo{Replica: s.replica, Lane: "tcp-1", Transport: "tcp"}
}

// fakeIncoming is the receiver's view.
type fakeIncoming struct {
	header *tunnel.Header
	peer   string
	ctx    context.Context
	// opener is the other end; local is what Accept gives.
	opener, local *fakeStream
}

func (i *fakeIncoming) Header() *tunnel.Header   { return i.header }
func (i *fakeIncoming) Peer() string             { return i.peer }
func (i *fakeIncoming) Address() string          { return "198.51.100.7:443" }
func (i *fakeIncoming) Context() context.Context { return i.ctx }

func (i *fakeIncoming) Accept(a *tunnelpb.Answer) (Stream, error) {
	if i.ctx.Err() != nil {
		return nil, tunnel.ErrReset
	}
	i.opener.settle(a, nil)
	return i.local, nil
}

func (i *fakeIncoming) Refuse(code tunnel.Code, reason string, retry time.Duration) error {
	refused := &tunnel.RefusedError{Code: code, Reason: reason, RetryAfter: retry}
	i.opener.settle(nil, refused)
	i.opener.in.fail(refused)
	i.opener.out.fail(refused)
	return nil
}

// die is what a lost lane does.
func (i *fakeIncoming) die() {
	i.opener.settle(nil, &tunnel.LostError{Sent: i.opener.sent(), Err: errors.New("lane lost")})
	i.opener.Reset("lane lost")
}

// early is what the opener has sent so far.
func (i *fakeIncoming) early() (string, bool) { return i.opener.out.written() }

// handler is a fake peer.
type handler func(in *fakeIncoming)

// fakePeer is how Tunnels sees one peer.
type fakePeer struct {
	state    tunnel.PeerState
	replicas []string
	quiet    bool
	full     bool // its lanes have no place
	handle   handler
}

// fakeTunnels hands streams to handlers.
type fakeTunnels struct {
	self string
	mu   sync.Mutex
	// ctx is the life of all streams.
	ctx    context.Context
	peers  map[string]*fakePeer
	opened []*fakeIncoming
	wg     sync.WaitGroup
}

// set is how a peer can be reached from now on.
func (f *fakeTunnels) set(peer string, to tunnel.PeerState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.peers[peer].state = to
}

func (f *fakeTunnels) Open(_ context.Context, peer string, h *tunnel.Header, avoid []string) (Stream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.peers[peer]
	if p == nil {
		return nil, tunnel.ErrUnknownPeer
	}
	replica := ""
	for _, r := range p.replicas {
		free := true
		for _, a := range avoid {
			free = free && a != r
		}
		if free {
			replica = r
			break
		}
	}
	if replica == "" || !p.state.Usable {
		return nil, tunnel.ErrNoLane
	}
	if p.full {
		return nil, fmt.Errorf("%w: those to peer %s", tunnel.ErrFull, peer)
	}
	ctx, cancel := context.WithCancel(f.ctx)
	up, down := newPipe(), newPipe()
	link := &fakeLink{done: make(chan struct{}), cancel: cancel}
	end := func(in, out *pipe) *fakeStream {
		return &fakeStream{
			in: in, out: out, shared: link, replica: replica, quiet: p.quiet,
			suspect: make(chan struct{}), answered: make(chan struct{}),
		}
	}
	opener, local := end(down, up), end(up, down)
	in := &fakeIncoming{header: h, peer: f.self, ctx: ctx, opener: opener, local: local}
	f.opened = append(f.opened, in)
	f.wg.Go(func() { p.handle(in) })
	return opener, nil
}

func (f *fakeTunnels) State(peer string) tunnel.PeerState {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.peers[peer]
	if p == nil {
		return tunnel.PeerState{}
	}
	return p.state
}

func (f *fakeTunnels) streams() []*fakeIncoming {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*fakeIncoming(nil), f.opened...)
}
