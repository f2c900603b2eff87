package mem

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/eastway/eastway/tunnel/transport"
)

var (
	errReset    = errors.New("mem: stream reset")
	errStreams  = errors.New("mem: too many streams")
	errLifetime = errors.New("mem: the session can open no more streams")
)

// session is one side of a connection. The network's lock guards it.
type session struct {
	network       *Network
	caps          transport.Caps
	tls           tls.ConnectionState
	local, remote net.Addr
	between       pair
	born          int
	peer          *session
	done          chan struct{}
	ended         bool
	alert         error
	heard         time.Time
	inFlight      bool // something is held up on the way here
	arrivals      *sync.Cond
	arrived       []*stream // not accepted yet
	open          map[*stream]struct{}
	opened        int64 // streams of this side, ever
}

func newSession(n *Network, caps transport.Caps, state tls.ConnectionState, local, remote net.Addr, between pair) *session {
	s := &session{
		network: n, caps: caps, tls: state, local: local, remote: remote, between: between, born: n.nextBorn(), done: make(chan struct{}),
		heard: time.Now(), open: make(map[*stream]struct{}),
	}
	s.arrivals = sync.NewCond(&n.mu)
	n.sessions[s] = struct{}{}
	return s
}

// end ends this side. The lock is held.
func (s *session) end(alert error) {
	if s.ended {
		return
	}
	s.ended, s.alert = true, alert
	delete(s.network.sessions, s)
	for _, st := range s.inOrder() {
		st.ended = true
		st.quiesce()
	}
	clear(s.open)
	s.arrived = nil
	s.arrivals.Broadcast()
	close(s.done)
}

// inOrder are the open streams, oldest first.
func (s *session) inOrder() []*stream {
	return slices.SortedFunc(maps.Keys(s.open), func(a, b *stream) int { return a.born - b.born })
}

// held: nothing arrives. The lock is held.
func (s *session) held() bool { return s.network.holds(s.between) }

// hear notes that something arrives. The lock is held.
func (s *session) hear() {
	if s.held() {
		s.inFlight = true
		return
	}
	s.heard = time.Now()
}

// wake lets waiting calls look again after the network was held. The lock is held.
func (s *session) wake() {
	if s.held() {
		return
	}
	if s.inFlight {
		s.inFlight, s.heard = false, time.Now()
	}
	s.arrivals.Broadcast()
	for _, st := range s.inOrder() {
		st.in.readable.Broadcast()
		st.out.writable.Broadcast()
	}
}

// Caps implements transport.Session.
func (s *session) Caps() transport.Caps { return s.caps }

// Charge implements transport.Session. What is on its way here is held by the network, in no one's memory.
func (*session) Charge(*transport.Budget) {}

// Open implements transport.Session.
func (s *session) Open() (transport.Stream, error) {
	s.network.mu.Lock()
	defer s.network.mu.Unlock()
	switch {
	case s.ended:
		return nil, transport.ErrClosed
	case len(s.open) >= s.caps.Streams:
		return nil, errStreams
	case s.opened >= s.caps.Lifetime:
		return nil, errLifetime
	}
	s.opened++
	there, back := newHalf(s), newHalf(s)
	ours := &stream{session: s, born: s.network.nextBorn(), in: back, out: there, unknown: true}
	s.open[ours] = struct{}{}
	return ours, nil
}

// Accept implements transport.Session.
func (s *session) Accept(ctx context.Context) (transport.Stream, error) {
	n := s.network
	defer context.AfterFunc(ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		s.arrivals.Broadcast()
	})()
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case s.ended:
			return nil, transport.ErrClosed
		case len(s.arrived) > 0 && !s.held():
			st := s.arrived[0]
			s.arrived = s.arrived[1:]
			return st, nil
		}
		s.arrivals.Wait()
	}
}

// Close implements transport.Session.
func (s *session) Close(string) {
	s.network.mu.Lock()
	defer s.network.mu.Unlock()
	if s.ended {
		return
	}
	s.end(nil)
	s.network.deliver(s.between, func() { s.peer.end(nil) })
}

// Done implements transport.Session.
func (s *session) Done() <-chan struct{} { return s.done }

// Alert implements transport.Session.
func (s *session) Alert() error {
	s.network.mu.Lock()
	defer s.network.mu.Unlock()
	return s.alert
}

// Heard implements transport.Session.
func (s *session) Heard() time.Duration {
	s.network.mu.Lock()
	defer s.network.mu.Unlock()
	return time.Since(s.heard)
}

// Progress implements transport.Session.
func (s *session) Progress() time.Duration { return s.Heard() }

// Move implements transport.Session.
func (s *session) Move(func()) transport.MoveResult { return transport.Unmoved }

// TLS implements transport.Session.
func (s *session) TLS() tls.ConnectionState { return s.tls }

// Addrs implements transport.Session.
func (s *session) Addrs() (local, remote net.Addr) { return s.local, s.remote }

// Stats implements transport.Session.
func (s *session) Stats() transport.Stats { return transport.Stats{Congestion: "none"} }

// Streams implements transport.Session.
func (s *session) Streams() int { return 0 }

// Limits implements transport.Session.
func (s *session) Limits() map[transport.Limit]uint64 { return nil }

// half is one direction of a stream. The network's lock guards it.
type half struct {
	network            *Network
	between            pair
	readable, writable *sync.Cond
	buf                []byte
	closed             bool // no more is written
	unread             bool // the reader has given up: bytes are dropped
	refused            bool // and its writer has heard of it
	readBy, writeBy    time.Time
	timers             [2]*time.Timer
}

func newHalf(s *session) *half {
	n := s.network
	return &half{network: n, between: s.between, readable: sync.NewCond(&n.mu), writable: sync.NewCond(&n.mu)}
}

func passed(deadline time.Time) bool { return !deadline.IsZero() && !time.Now().Before(deadline) }

func (h *half) read(p []byte, ended *bool) (int, error) {
	for {
		switch {
		case *ended:
			return 0, transport.ErrClosed
		case h.unread:
			return 0, errReset
		case passed(h.readBy):
			return 0, os.ErrDeadlineExceeded
		case !h.network.holds(h.between) && len(h.buf) > 0:
			n := copy(p, h.buf)
			if h.buf = h.buf[n:]; len(h.buf) == 0 {
				h.buf = nil
			}
			h.writable.Broadcast()
			return n, nil
		case !h.network.holds(h.between) && h.closed:
			return 0, io.EOF
		}
		h.readable.Wait()
	}
}

// write takes as much as there is room for.
func (h *half) write(p []byte, ended *bool) (int, error) {
	for {
		switch {
		case *ended:
			return 0, transport.ErrClosed
		case h.refused:
			return 0, errReset
		case h.closed:
			return 0, io.ErrClosedPipe
		case passed(h.writeBy):
			return 0, os.ErrDeadlineExceeded
		case h.unread:
			return len(p), nil
		}
		if room := window - len(h.buf); room > 0 {
			n := min(room, len(p))
			h.buf = append(h.buf, p[:n]...)
			h.readable.Broadcast()
			return n, nil
		}
		h.writable.Wait()
	}
}

// deadline wakes all waiters of cond at that time. The lock is held.
func (h *half) deadline(i int, cond *sync.Cond, at time.Time) {
	if h.timers[i] != nil {
		h.timers[i].Stop()
		h.timers[i] = nil
	}
	if !at.IsZero() {
		h.timers[i] = time.AfterFunc(time.Until(at), func() {
			h.network.mu.Lock()
			defer h.network.mu.Unlock()
			cond.Broadcast()
		})
	}
	cond.Broadcast()
}

// stream is one side's view of two halves.
type stream struct {
	session *session
	born    int
	in, out *half
	unknown bool // to the other side, until the first byte
	ended   bool // with the session
}

// quiesce ends waiting calls and timers of this side. The lock is held.
func (s *stream) quiesce() {
	s.in.deadline(0, s.in.readable, time.Time{})
	s.out.deadline(1, s.out.writable, time.Time{})
}

// Read implements transport.Stream.
func (s *stream) Read(p []byte) (int, error) {
	s.session.network.mu.Lock()
	defer s.session.network.mu.Unlock()
	return s.in.read(p, &s.ended)
}

// Write implements transport.Stream.
func (s *stream) Write(p []byte) (int, error) {
	s.session.network.mu.Lock()
	defer s.session.network.mu.Unlock()
	total := 0
	for total < len(p) {
		n, err := s.out.write(p[total:], &s.ended)
		if err != nil {
			return total, err
		}
		total += n
		s.arrive()
	}
	return total, nil
}

// arrive lets the other side notice. The lock is held.
func (s *stream) arrive() {
	peer := s.session.peer
	if peer.ended {
		return
	}
	peer.hear()
	if s.unknown {
		s.unknown = false
		theirs := &stream{session: peer, born: peer.network.nextBorn(), in: s.out, out: s.in}
		peer.open[theirs] = struct{}{}
		peer.arrived = append(peer.arrived, theirs)
		peer.arrivals.Broadcast()
	}
}

// SetReadDeadline implements transport.Stream.
func (s *stream) SetReadDeadline(t time.Time) error {
	s.session.network.mu.Lock()
	defer s.session.network.mu.Unlock()
	s.in.readBy = t
	s.in.deadline(0, s.in.readable, t)
	return nil
}

// SetWriteDeadline implements transport.Stream.
func (s *stream) SetWriteDeadline(t time.Time) error {
	s.session.network.mu.Lock()
	defer s.session.network.mu.Unlock()
	s.out.writeBy = t
	s.out.deadline(1, s.out.writable, t)
	return nil
}

// EndWrite implements transport.Stream.
func (s *stream) EndWrite() {
	s.session.network.mu.Lock()
	defer s.session.network.mu.Unlock()
	s.endWrite()
}

func (s *stream) endWrite() {
	s.out.closed = true
	s.out.readable.Broadcast()
	s.out.writable.Broadcast()
}

// Finish implements transport.Stream.
func (s *stream) Finish() { s.Abort(false) }

// Abort implements transport.Stream. What was written still arrives.
func (s *stream) Abort(bool) {
	s.session.network.mu.Lock()
	defer s.session.network.mu.Unlock()
	delete(s.session.open, s)
	s.endWrite()
	s.in.buf, s.in.unread = nil, true
	s.in.writable.Broadcast()
	s.quiesce()
	s.session.network.deliver(s.session.between, func() {
		s.in.refused = true
		s.in.writable.Broadcast()
	})
}
