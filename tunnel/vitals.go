package tunnel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// linkState is how a link is judged by its silence.
type linkState int

const (
	alive   linkState = iota
	suspect           // silent: no new streams
	dead              // silent for too long: everything on it is given up
)

// vitals judges a link. It is fed with times, so that it can be tested without waiting.
type vitals struct {
	state    linkState
	heardAt  time.Time // when anything of the peer's process was last heard on any connection
	doubtAt  time.Time // when a connection ended unexpectedly
	provenAt time.Time // when the newest ping that was answered had been sent
	noCtlAt  time.Time // when the control connection was lost; zero while there is one
	lastTick time.Time
}

func newVitals(now time.Time) vitals { return vitals{heardAt: now, lastTick: now} }

func (v *vitals) doubt(now time.Time)       { v.doubtAt = now }
func (v *vitals) controlLost(now time.Time) { v.noCtlAt = now }

// proven: a ping sent at that time was answered.
func (v *vitals) proven(sent time.Time) {
	if sent.After(v.provenAt) {
		v.provenAt = sent
	}
}

// doubtful: a connection has ended, and no ping sent since was answered. What is merely heard proves nothing: it may have
// been on its way while the peer's process died.
func (v *vitals) doubtful() bool { return v.doubtAt.After(v.provenAt) }

// observe takes one tick: how long ago the peer was heard, the round trip, and whether there is a control
// connection. It returns how long this process itself was paused (stopped, starved), which is not the peer's silence.
func (v *vitals) observe(now time.Time, silence, rtt time.Duration, hasControl bool) (linkState, time.Duration) {
	var paused time.Duration
	if late := now.Sub(v.lastTick) - tick; late > pauseSlack {
		paused = late
		v.heardAt = v.heardAt.Add(late)
		if !v.noCtlAt.IsZero() {
			v.noCtlAt = v.noCtlAt.Add(late)
		}
	}
	v.lastTick = now
	if at := now.Add(-silence); at.After(v.heardAt) {
		v.heardAt = at
	}
	if hasControl {
		v.noCtlAt = time.Time{}
	}
	switch quiet := now.Sub(v.heardAt); {
	case quiet >= deadAfter, !v.noCtlAt.IsZero() && now.Sub(v.noCtlAt) >= noControlAfter:
		v.state = dead
	case quiet >= max(suspectAfter, suspectRTTs*rtt):
		v.state = suspect
	default:
		v.state = alive
	}
	return v.state, paused
}

// quiet is true when a stream on c should send its header alone.
func (l *link) quiet(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.vitals.state != alive || l.vitals.doubtful() || c.sess.Heard() >= max(suspectAfter, suspectRTTs*c.rtt())
}

// monitor pings and judges until the link is closed or dead.
func (l *link) monitor(ctx context.Context) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.gone:
			return ending(l, transport.ErrClosed)
		case <-t.C:
			if err := l.check(); err != nil {
				return ending(l, err)
			}
		}
	}
}

// ending is err, unless the link ends because it is not trusted any more.
func ending(l *link, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return cmp.Or(l.life.revoked, err)
}

// errNoControl: resets and pings could not be sent for as long as a peer may be silent.
var errNoControl = fmt.Errorf("no control connection for %v", noControlAfter)

// errNoConnections: nothing is left that could carry a stream.
var errNoConnections = errors.New("all connections have ended")

// check is one tick.
func (l *link) check() error {
	conns := l.connections()
	silence, rtt := time.Duration(1<<62), time.Duration(0)
	hasControl := false
	for _, c := range conns {
		silence = min(silence, c.sess.Heard())
		if c.role == tunnelpb.Hello_ROLE_CONTROL {
			hasControl, rtt = true, c.rtt()
		}
	}
	l.mu.Lock()
	if l.life.attached && len(conns) == 0 {
		l.mu.Unlock()
		return errNoConnections
	}
	before := l.vitals.state
	now := time.Now()
	if silence == 1<<62 {
		silence = now.Sub(l.vitals.heardAt)
	}
	state, paused := l.vitals.observe(now, silence, rtt, hasControl)
	quiet, doubtful := now.Sub(l.vitals.heardAt), l.vitals.doubtful()
	l.mu.Unlock()
	if state != before {
		l.node.log.Info("link changed state", zap.String("peer", l.peer), zap.String("replica", l.replica),
			zap.Stringer("state", state), zap.Duration("silence", quiet))
		l.node.metrics.State(l.peer, state.String())
	}
	if state == dead && quiet < deadAfter {
		return errNoControl
	}
	if state == dead {
		return fmt.Errorf("nothing heard for %v", quiet.Round(time.Millisecond))
	}
	for _, c := range conns {
		l.checkConn(c, state, paused, doubtful)
	}
	l.announceDone(conns)
	return nil
}

// checkConn pings one connection, at once to end a doubt, and judges it when only it is silent.
func (l *link) checkConn(c *conn, state linkState, paused time.Duration, doubtful bool) {
	interval := lanePingInterval
	switch {
	case doubtful:
		interval = 0
	case c.role == tunnelpb.Hello_ROLE_CONTROL:
		interval = controlPingInterval
	}
	if time.Now().After(c.end) {
		c.fail("a certificate of the connection has expired")
	}
	silent := c.sess.Progress()
	waiting := c.pingIfDue(interval)
	l.movePath(c, waiting, paused)
	alone := state == alive && paused == 0 && waiting && silent >= laneSuspectAfter
	c.setSuspect(state != alive || alone)
	l.meetSession(c)
	if c.sess.Streams()-int(c.active.Load()+c.opening.Load()) > maxAbandoned {
		l.meet(c, limitAbandoned, 1)
		c.fail("the peer keeps streams open that this side has given up")
	}
	if alone && silent >= c.sess.Caps().DeadAfter {
		c.fail(fmt.Sprintf("nothing heard on this connection for %v while the peer is alive", silent.Round(time.Millisecond)))
	}
}

func (s linkState) String() string {
	return [...]string{status.Connected, status.Suspect, "dead"}[s]
}

// movePath looks for another path when a session that can move is deaf. This does not wait until the connection is
// suspect for certain: a path that was only slow goes on being used unless a new one is faster.
func (l *link) movePath(c *conn, waiting bool, paused time.Duration) {
	if !c.sess.Caps().Moves || !pathSilent(c.sess.Heard(), c.rtt(), waiting, paused) || !c.moving.CompareAndSwap(false, true) {
		return
	}
	if !l.spawn(func() { l.findPath(c) }) {
		c.moving.Store(false)
	}
}

// pathSilent: the answer to a ping is late for no reason of ours.
func pathSilent(silent, rtt time.Duration, waiting bool, paused time.Duration) bool {
	return waiting && paused == 0 && silent >= max(suspectAfter, suspectRTTs*rtt)
}

func (l *link) findPath(c *conn) {
	defer c.moving.Store(false)
	result := c.sess.Move(c.pingAgain)
	if result == transport.Unmoved {
		return
	}
	l.node.metrics.Searched(l.peer, string(result))
	if result != transport.Moved {
		return
	}
	local, _ := c.sess.Addrs()
	l.node.log.Info("QUIC connection moved to a new path", zap.String("peer", l.peer), zap.String("replica", l.replica),
		zap.String("lane", c.name), zap.Stringer("local", local))
	rest := time.NewTimer(pathRest)
	defer rest.Stop()
	select {
	case <-c.sess.Done():
	case <-rest.C:
	}
}
