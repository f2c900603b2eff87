package tunnel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/tunnelpb"
	"github.com/eastway/eastway/tunnel/vitals"
)

// quiet is true when a stream on c should send its header alone.
func (l *link) quiet(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.vitals.State() != vitals.Alive || l.vitals.Doubtful() || c.sess.Heard() >= max(vitals.SuspectAfter, vitals.SuspectRTTs*c.rtt())
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

// errNoConnections: nothing is left that could carry a stream.
var errNoConnections = errors.New("all connections have ended")

// check is one tick.
func (l *link) check() error {
	conns := l.connections()
	look := vitals.Look{Silence: 1 << 62, Elsewhere: superseded(l)}
	for _, c := range conns {
		look.Silence = min(look.Silence, c.sess.Heard())
		if c.role == tunnelpb.Hello_ROLE_CONTROL {
			look.Control, look.RTT = true, c.rtt()
		}
	}
	l.mu.Lock()
	if l.life.attached && len(conns) == 0 {
		l.mu.Unlock()
		return errNoConnections
	}
	before := l.vitals.State()
	now := time.Now()
	if look.Silence == 1<<62 {
		look.Silence = l.vitals.Silence(now)
	}
	state, paused := l.vitals.Observe(now, look)
	lacking := l.laneless.Due(now, laneless(l.lanes) && !l.life.draining(), noLaneAfter)
	quiet, doubtful, verdict := l.vitals.Silence(now), l.vitals.Doubtful(), l.vitals.Verdict(now)
	l.mu.Unlock()
	if state != before {
		l.node.log.Info("link changed state", zap.String("peer", l.peer), zap.String("replica", l.replica),
			zap.Stringer("state", state), zap.Duration("silence", quiet))
		l.node.metrics.State(l.peer, state.String())
	}
	if verdict != nil {
		return verdict
	}
	if lacking {
		warnLaneless(l)
	}
	for _, c := range conns {
		l.checkConn(c, state, paused, doubtful)
	}
	l.announceDone(conns)
	return nil
}

// warnLaneless explains why calls cannot go to a replica that is heard.
func warnLaneless(l *link) {
	l.node.mu.Lock()
	p := l.node.peers[l.peer]
	why := ""
	if p != nil {
		why = p.failure.lastError
	}
	l.node.mu.Unlock()
	l.node.log.Warn("no lane to the peer replica, calls cannot go there", zap.String("peer", l.peer), zap.String("replica", l.replica),
		zap.Bool("dialed", l.dialed), zap.String("error", why),
		zap.String("remedy", "let TCP and UDP through on the tunnel port, in packets of up to 1,280 bytes"))
}

// checkConn pings one connection, at once to end a doubt, and judges it when only it is silent.
func (l *link) checkConn(c *conn, state vitals.State, paused time.Duration, doubtful bool) {
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
	alone := state == vitals.Alive && paused == 0 && waiting && silent >= laneSuspectAfter
	c.setSuspect(state != vitals.Alive || alone)
	l.meetSession(c)
	if c.sess.Streams()-int(c.active.Load()+c.opening.Load()) > maxAbandoned {
		l.meet(c, limitAbandoned, 1)
		c.fail("the peer keeps streams open that this side has given up")
	}
	if alone && silent >= c.sess.Caps().DeadAfter {
		c.fail(fmt.Sprintf("nothing heard on this connection for %v while the peer is alive", silent.Round(time.Millisecond)))
	}
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
	return waiting && paused == 0 && silent >= max(vitals.SuspectAfter, vitals.SuspectRTTs*rtt)
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
