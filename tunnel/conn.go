package tunnel

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eastway/eastway/internal/clip"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/tunnelpb"
	"github.com/eastway/eastway/tunnel/vitals"
	"github.com/eastway/eastway/tunnel/wire"
)

// conn is one connection of a link: the control connection or a lane. Its first stream carries control records.
type conn struct {
	sess    transport.Session
	role    tunnelpb.Hello_Role
	number  uint32
	name    string // e.g. "tcp-2"
	born    time.Time
	channel transport.Stream
	// At renew another connection takes its place, at end it is closed. Set when it is attached.
	renew, end time.Time
	budget     *transport.Budget // of its peer; set when it is attached
	out        chan *tunnelpb.Control
	// messages hands over the message channel's stream; on an accepted control connection.
	messages chan transport.Stream

	active     atomic.Int32 // streams of both sides
	opened     atomic.Int64 // streams of ours, ever
	maxOpened  int64        // then the lane is retired
	opening    atomic.Int32 // of the peer's, without a whole header yet
	unanswered atomic.Int32 // of ours, without an answer yet
	moving     atomic.Bool  // looks for another network path
	idleSince  atomic.Int64 // nanoseconds after born; meaningful while active is 0

	mu       sync.Mutex
	ping     vitals.Pings
	life     lanePhase
	suspect  bool
	suspectC chan struct{}              // closed while suspect
	failure  string                     // why it ended
	met      map[transport.Limit]uint64 // of the session's limits, as counted
}

func newConn(sess transport.Session, role tunnelpb.Hello_Role, number uint32, channel transport.Stream) *conn {
	return &conn{
		sess: sess, role: role, number: number, channel: channel,
		name: fmt.Sprintf("%s-%d", sess.Caps().Name, number), maxOpened: openedAtMost(sess.Caps().Lifetime),
		born: time.Now(), out: make(chan *tunnelpb.Control, controlQueue),
		messages: make(chan transport.Stream, 1), suspectC: make(chan struct{}),
	}
}

// openedAtMost is how many streams this side opens on a session that can open so many: lanes of the same age must not be used up
// at the same time.
func openedAtMost(lifetime int64) int64 {
	eighth := max(lifetime/8, 1)
	return max(lifetime-eighth-rand.Int64N(eighth), 1)
}

// send queues a control message; false when the queue is full.
func (c *conn) send(m *tunnelpb.Control) bool {
	select {
	case c.out <- m:
		return true
	default:
		return false
	}
}

// writeLoop writes queued control messages until the connection ends.
func (c *conn) writeLoop() {
	for {
		select {
		case <-c.sess.Done():
			return
		case m := <-c.out:
			if err := wire.Write(c.channel, wire.Control, m); err != nil {
				c.fail(fmt.Sprintf("write control message: %v", err))
				return
			}
		}
	}
}

// readLoop hands control messages to handle until the connection ends or the peer breaks the protocol.
func (c *conn) readLoop(handle func(*conn, *tunnelpb.Control) error) {
	for {
		m := new(tunnelpb.Control)
		err := wire.Read(c.channel, wire.Control, m)
		if err == nil {
			err = handle(c, m)
		}
		if err != nil {
			c.fail(fmt.Sprintf("read control message: %v", err))
			return
		}
	}
}

// fail ends the connection; the first reason is kept.
func (c *conn) fail(reason string) {
	c.mu.Lock()
	if c.failure == "" {
		c.failure = reason
	}
	c.mu.Unlock()
	c.sess.Close(reason)
}

func (c *conn) failReason() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure == "" {
		return "closed by the peer or the network"
	}
	return c.failure
}

// idle is how long no stream was open.
func (c *conn) idle() time.Duration {
	if c.active.Load() > 0 {
		return 0
	}
	return time.Since(c.born) - time.Duration(c.idleSince.Load())
}

// retired: no new streams of either side.
// markRetired: it is replaced, so its end is expected.
func (c *conn) markRetired() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.life.retired = true
}

// linger ends the connection when what waits to be sent has had time to leave.
func (c *conn) linger(ctx context.Context, reason string) {
	ctx, cancel := context.WithTimeout(ctx, controlLinger)
	defer cancel()
	select {
	case <-c.sess.Done():
	case <-ctx.Done():
	}
	c.fail(reason)
}

// expiring: another connection has to take its place.
func (c *conn) expiring() bool { return time.Now().After(c.renew) }

func (c *conn) retired() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life.retired
}

// retire asks the peer to open no more streams on this lane. A second call does nothing.
func (c *conn) retire(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.life.retired {
		c.life.retired = true
		c.send(wire.GoAway(reason))
	}
}

func (c *conn) heardGoAway(m *tunnelpb.GoAway) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.life.heardGoAway(m)
}

// announceDone announces to the peer that a retired lane has no stream left here.
func (c *conn) announceDone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.doneDue(int(c.active.Load()+c.opening.Load())) && c.send(c.life.say()) {
		c.life.said()
	}
}

func (c *conn) drained() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life.drained(int(c.active.Load() + c.opening.Load()))
}

// setSuspect opens or closes the gate that streams without an answer look at.
func (c *conn) setSuspect(suspect bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if suspect == c.suspect {
		return
	}
	c.suspect = suspect
	if suspect {
		close(c.suspectC)
	} else {
		c.suspectC = make(chan struct{})
	}
}

func (c *conn) suspected() (bool, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.suspect, c.suspectC
}

func (c *conn) pong(sequence uint64) (sent time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ping.Pong(sequence, time.Now())
}

func (c *conn) rtt() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ping.RTT()
}

// pingIfDue queues a ping when the interval has passed, and says whether one waits for its answer.
func (c *conn) pingIfDue(interval time.Duration) (waiting bool) {
	c.mu.Lock()
	seq, due := c.ping.Due(time.Now(), interval)
	waiting = c.ping.Waiting()
	c.mu.Unlock()
	if due {
		c.send(&tunnelpb.Control{Message: &tunnelpb.Control_Ping{Ping: &tunnelpb.Ping{Sequence: seq}}})
	}
	return waiting
}

// pingAgain sends another ping instead of the one that waits for its answer.
func (c *conn) pingAgain() {
	c.mu.Lock()
	seq := c.ping.Again(time.Now())
	c.mu.Unlock()
	c.send(&tunnelpb.Control{Message: &tunnelpb.Control_Ping{Ping: &tunnelpb.Ping{Sequence: seq}}})
}

// sayHello is the dialer's half of the handshake: Hello out, Hello in.
func sayHello(sess transport.Session, hello *tunnelpb.Hello) (transport.Stream, *tunnelpb.Hello, error) {
	channel, err := sess.Open()
	if err != nil {
		return nil, nil, err
	}
	if err := setHandshakeDeadline(channel, helloTimeout); err != nil {
		return nil, nil, err
	}
	if err := wire.WriteHello(channel, hello); err != nil {
		return nil, nil, err
	}
	answer, err := wire.ReadHello(channel)
	if err != nil {
		return nil, nil, err
	}
	if answer.GetRefused() != "" {
		return nil, nil, &helloRefusedError{Reason: clip.Text(answer.GetRefused(), maxReason), Replica: answer.GetReplica()}
	}
	return channel, answer, clearDeadline(channel)
}

// hearHello is the acceptor's first half; the caller answers with wire.WriteHello.
func hearHello(ctx context.Context, sess transport.Session) (transport.Stream, *tunnelpb.Hello, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	channel, err := sess.Accept(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := setHandshakeDeadline(channel, handshakeTimeout); err != nil {
		return nil, nil, err
	}
	hello, err := wire.ReadHello(channel)
	return channel, hello, err
}

// helloRefusedError is the acceptor's "no" to an authenticated connection.
type helloRefusedError struct{ Reason, Replica string }

func (e *helloRefusedError) Error() string { return "tunnel: peer refused the connection: " + e.Reason }

const (
	refusedDuplicate = "duplicate"
	refusedNoLink    = "no such link"
)

func setHandshakeDeadline(s transport.Stream, d time.Duration) error {
	t := time.Now().Add(d)
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func clearDeadline(s transport.Stream) error {
	return errors.Join(s.SetReadDeadline(time.Time{}), s.SetWriteDeadline(time.Time{}))
}
