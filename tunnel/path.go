package tunnel

import (
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/tunnel/transport"
)

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
	l.node.metrics.pathSearched(l.peer, result)
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
