package tunnel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/clip"
	"github.com/eastway/eastway/internal/notify"
	"github.com/eastway/eastway/internal/recent"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/tunnelpb"
	"github.com/eastway/eastway/tunnel/vitals"
	"github.com/eastway/eastway/tunnel/wire"
)

// link is all connections between this proxy and one replica of a peer: at most one control connection, and lanes.
type link struct {
	node    *Node
	peer    string
	replica string
	id      string // chosen by the dialer
	dialed  bool
	budget  *transport.Budget
	hello   *tunnelpb.Hello // the other side's
	// dataLimit is the largest data record that the other side takes, in bytes.
	dataLimit int
	born      time.Time
	wg        sync.WaitGroup
	gone      chan struct{} // closed when it has ended
	nextID    atomic.Uint64
	// grow asks the dialer for another lane.
	grow notify.Signal
	// kick asks the dialer to replace a connection that ended.
	kick notify.Signal

	mu          sync.Mutex
	control     *conn
	lanes       []*conn
	streams     map[streamKey]*Stream
	earlyResets *recent.Set[streamKey] // resets that overtook their header: most are of streams that have ended meanwhile
	pending     []*tunnelpb.Reset      // resets that wait for a control connection
	life        phase
	vitals      vitals.Link
	laneless    vitals.Absence
}

func newLink(n *Node, peer, id string, dialed bool, hello *tunnelpb.Hello) *link {
	return &link{
		node: n, peer: peer, budget: n.budgetOf(peer), replica: hello.GetReplica(), id: id, dialed: dialed,
		hello: hello, dataLimit: wire.DataLimit(hello),
		born: time.Now(), gone: make(chan struct{}),
		grow: notify.NewSignal(), kick: notify.NewSignal(),
		streams: make(map[streamKey]*Stream), life: phase{farewell: farewell{again: wire.SaysDoneAgain(hello)}},
		vitals: vitals.New(time.Now()), earlyResets: recent.NewSet[streamKey](maxEarlyResets),
	}
}

var errLinkFull = errors.New("too many connections on one link")

// attach adds a connection that has said Hello, and starts its loops.
func (l *link) attach(ctx context.Context, c *conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.life.ended {
		return transport.ErrClosed
	}
	// Trust may have changed since its handshake, and reconcile has not seen it.
	if err := l.verify(c); err != nil {
		return err
	}
	c.renew, c.end = l.node.cfg.Credentials.Lease(c.sess.TLS())
	c.budget = l.budget
	c.sess.Charge(l.budget)
	if c.role == tunnelpb.Hello_ROLE_CONTROL {
		if l.control != nil {
			// It expires, or the dialer gave it up before this side noticed.
			l.control.markRetired()
			old := l.control
			l.wg.Go(func() { old.linger(ctx, "replaced by a new control connection") })
		}
		l.control = c
		l.sendGoAwayLocked(l.life.attach(true))
		for _, r := range l.pending {
			c.send(&tunnelpb.Control{Message: &tunnelpb.Control_Reset_{Reset_: r}})
		}
		l.pending = nil
	} else {
		if len(l.lanes) >= maxConnsPerLink {
			return errLinkFull
		}
		c.life.again = l.life.again
		l.lanes = append(l.lanes, c)
		l.life.attach(false)
	}
	l.wg.Go(c.writeLoop)
	l.wg.Go(func() { c.readLoop(l.handle) })
	l.wg.Go(func() { l.acceptLoop(ctx, c) })
	l.wg.Go(func() { l.watch(c) })
	if c.role == tunnelpb.Hello_ROLE_CONTROL {
		l.wg.Go(func() { l.runMessages(ctx, c) })
	}
	return nil
}

// verify a connection against the present trust.
func (l *link) verify(c *conn) error {
	name, err := l.node.cfg.Credentials.PeerName(c.sess.TLS())
	if err == nil && name != l.peer {
		err = fmt.Errorf("tunnel: it belongs to peer %s, not to %s", name, l.peer)
	}
	return err
}

// watch detaches a connection when it ends.
func (l *link) watch(c *conn) {
	<-c.sess.Done()
	l.meetSession(c)
	c.setSuspect(true)
	l.mu.Lock()
	unexpected := !l.life.ended && !c.retired()
	if l.control == c {
		l.control = nil
		l.vitals.ControlLost(time.Now())
	}
	l.lanes = slices.DeleteFunc(l.lanes, func(o *conn) bool { return o == c })
	if unexpected {
		// A replica that was killed closes its TCP connections at once while QUIC stays silent:
		// until a ping is answered, streams send their header alone.
		l.vitals.Doubt(time.Now(), l.lastOfItsTransport(c))
	}
	streams := l.streamsOn(c)
	l.mu.Unlock()
	reason := c.failReason()
	for _, s := range streams {
		s.terminate(fmt.Errorf("%w: lane %s ended: %s", ErrReset, c.name, reason), false)
	}
	if unexpected {
		l.node.log.Info("connection ended", zap.String("peer", l.peer), zap.String("replica", l.replica),
			zap.String("lane", c.name), zap.String("reason", reason), zap.Int("streams", len(streams)))
	}
	l.kick.Notify()
}

// lastOfItsTransport: c has ended, and no connection over its transport is left.
func (l *link) lastOfItsTransport(c *conn) bool {
	over := c.sess.Caps().Name
	return (l.control == nil || l.control.sess.Caps().Name != over) &&
		!slices.ContainsFunc(l.lanes, func(o *conn) bool { return o.sess.Caps().Name == over })
}

func (l *link) streamsOn(c *conn) []*Stream {
	var out []*Stream
	for _, s := range l.streams {
		if s.conn == c {
			out = append(out, s)
		}
	}
	return out
}

// handle takes one control message.
func (l *link) handle(c *conn, m *tunnelpb.Control) error {
	switch m := m.GetMessage().(type) {
	case *tunnelpb.Control_Ping:
		c.send(&tunnelpb.Control{Message: &tunnelpb.Control_Pong{Pong: m.Ping}})
	case *tunnelpb.Control_Pong:
		if sent, ok := c.pong(m.Pong.GetSequence()); ok {
			l.mu.Lock()
			l.vitals.Proven(sent)
			l.mu.Unlock()
		}
	case *tunnelpb.Control_Reset_:
		l.handleReset(m.Reset_)
	case *tunnelpb.Control_GoAway:
		l.handleGoAway(c, m.GoAway)
	case *tunnelpb.Control_Hello:
		return fmt.Errorf("%w: second Hello", wire.ErrRecord)
	}
	return nil // a message of a newer release
}

func (l *link) handleReset(r *tunnelpb.Reset) {
	key := streamKey{id: r.GetStream(), ours: !r.GetOpenedBySender()}
	l.mu.Lock()
	s := l.streams[key]
	if s == nil && !key.ours {
		l.earlyResets.Add(key)
	}
	l.mu.Unlock()
	if s != nil {
		s.remoteReset(clip.Text(r.GetReason(), maxReason))
	}
}

// sendReset sends the other side a reset, now or when the control connection is back.
func (l *link) sendReset(key streamKey, reason string) {
	r := &tunnelpb.Reset{Stream: key.id, OpenedBySender: key.ours, Reason: clip.Text(reason, maxReason)}
	l.mu.Lock()
	control := l.control
	if control == nil && len(l.pending) < maxPendingResets {
		l.pending = append(l.pending, r)
	}
	l.mu.Unlock()
	if control != nil && !control.send(&tunnelpb.Control{Message: &tunnelpb.Control_Reset_{Reset_: r}}) {
		control.fail("control queue is full")
	}
}

// add registers a stream; false when the link has ended or the stream was reset before it arrived.
func (l *link) add(s *Stream) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.life.ended || s.conn.ended() {
		return false
	}
	if s.key.ours && (l.life.draining() && !l.lastResortLocked() || s.conn.retired()) {
		return false // chosen before the GoAway
	}
	if l.earlyResets.Take(s.key) {
		return false
	}
	if _, dup := l.streams[s.key]; dup {
		return false
	}
	l.streams[s.key] = s
	return true
}

func (l *link) forget(s *Stream) {
	l.mu.Lock()
	_, was := l.streams[s.key]
	delete(l.streams, s.key)
	l.mu.Unlock()
	if was {
		s.conn.streamClosed()
	}
}

// spawn runs f under the link's wait group; false when the link has been closed.
func (l *link) spawn(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.life.ended {
		return false
	}
	l.wg.Go(f)
	return true
}

// detached runs f, which the network may hold up, without waiting for it. On a closed link nothing is held up any more.
func (l *link) detached(f func()) {
	if !l.spawn(f) {
		f()
	}
}

func (c *conn) ended() bool {
	select {
	case <-c.sess.Done():
		return true
	default:
		return false
	}
}

// end ends the link: its connections and its streams. Its goroutines may take a little longer; close waits for them.
func (l *link) end(reason string) {
	l.mu.Lock()
	if !l.life.end() {
		l.mu.Unlock()
		return
	}
	conns := slices.Clone(l.lanes)
	if l.control != nil {
		conns = append(conns, l.control)
	}
	l.mu.Unlock()
	l.node.unregister(l)
	for _, c := range conns {
		c.fail(reason)
	}
	l.mu.Lock()
	streams := make([]*Stream, 0, len(l.streams))
	for _, s := range l.streams {
		streams = append(streams, s)
	}
	l.mu.Unlock()
	for _, s := range streams {
		s.terminate(fmt.Errorf("%w: link closed: %s", ErrReset, reason), false)
	}
	close(l.gone)
}

// close is end, and returns when the link's goroutines have ended. None of these may call it.
func (l *link) close(reason string) {
	l.end(reason)
	l.wg.Wait()
}

// failing: silent, or connections have ended and the rest has not proved to work since.
func (l *link) failing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.life.attached && (l.control == nil || l.vitals.State() != vitals.Alive || l.vitals.Doubtful())
}

// collapsed: all connections of a transport have ended, and no ping sent since was answered.
func (l *link) collapsed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.vitals.Collapsed()
}

// carries: it has lanes whose streams may go on. A silent one's may, until it is dead.
func (l *link) carries() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.vitals.State() != vitals.Dead && len(l.lanes) > 0
}

// laneCounts are the lanes that take streams, by transport, and whether there is a control connection; without what expires soon.
func (l *link) laneCounts() (lanes map[string]int, hasControl bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lanes = make(map[string]int)
	for _, c := range l.lanes {
		if !c.retired() && !c.expiring() {
			lanes[c.sess.Caps().Name]++
		}
	}
	return lanes, l.control != nil && !l.control.expiring()
}

func (l *link) hasControl() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.control != nil && !l.control.expiring()
}

func (l *link) openStreams() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.streams)
}

// connections are the control connection, if any, and the lanes.
func (l *link) connections() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*conn, 0, len(l.lanes)+1)
	if l.control != nil {
		out = append(out, l.control)
	}
	return append(out, l.lanes...)
}

func (l *link) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lanes) == 0
}
