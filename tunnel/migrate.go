package tunnel

import (
	"time"

	"go.uber.org/zap"
)

// A QUIC connection outlives the path that it was dialled on. Kubernetes and load balancers forget UDP flows that are in use
// (kube-proxy, whenever an endpoint of the Service becomes unready), and TCP's not: the connection is deaf then, and from
// another port it is not.
const (
	// pathProbeInterval is the time between two sockets that are tried: several round trips.
	pathProbeInterval = 500 * time.Millisecond
	// maxPathProbes bounds the sockets that one silence costs. They fill the time from suspectAfter to deadAfter; behind a load
	// balancer with three replicas all of them are led elsewhere once in sixty times.
	maxPathProbes = 10
	// quicLaneDeadAfter is deadAfter for a QUIC connection whose peer is heard over others: its streams can still be saved.
	// Where Kubernetes has called all pods unready, a Service has no endpoint for any path until the kubelets have reported
	// again, which they do every 10 s; on average that leaves half of it.
	quicLaneDeadAfter = 10 * time.Second
	// maxPathBytes bounds what is sent from each, perhaps to a replica that knows nothing of it: some probes of full size.
	maxPathBytes = 64 << 10
	// pathRest is how long after a move nothing else is tried: an upload proves the new path with its second probe timeout.
	pathRest = 3 * time.Second
	// maxDatagram is more than the bytes of any QUIC packet.
	maxDatagram = 2048
)

// What became of a search for a path, as the metric tells it.
const (
	pathMoved     = "moved"     // a new path is in use
	pathRecovered = "recovered" // the old one works again
	pathFailed    = "failed"    // the connection has ended
)

// migrate looks for another path when a dialled QUIC connection is deaf. This does not wait until the connection is
// suspect for certain: a path that was only slow goes on being used unless a new one is faster.
func (l *link) migrate(c *conn, waiting bool, paused time.Duration) {
	q, ok := c.sess.(*quicSession)
	if !ok || q.socket == nil || !pathSilent(q.heard(), c.rtt(), waiting, paused) || !q.searching.CompareAndSwap(false, true) {
		return
	}
	if !l.spawn(func() { l.findPath(c, q) }) {
		q.searching.Store(false)
	}
}

// pathSilent: the answer to a ping is late for no reason of ours.
func pathSilent(silent, rtt time.Duration, waiting bool, paused time.Duration) bool {
	return waiting && paused == 0 && silent >= max(suspectAfter, suspectRTTs*rtt)
}

// findPath tries one new socket after another until the peer is heard or the connection has ended.
func (l *link) findPath(c *conn, q *quicSession) {
	defer q.searching.Store(false)
	search := q.socket.startSearch()
	if search == nil {
		return
	}
	result := l.searchPath(c, q, search)
	q.socket.endSearch(search)
	select {
	case <-search.moved:
		result = pathMoved
	default:
	}
	l.node.metrics.pathSearched(l.peer, result)
	if result != pathMoved {
		return
	}
	l.node.log.Info("QUIC connection moved to a new path", zap.String("peer", l.peer), zap.String("replica", l.replica),
		zap.String("lane", c.name), zap.Stringer("local", q.socket.LocalAddr()))
	rest := time.NewTimer(pathRest)
	defer rest.Stop()
	select {
	case <-q.done():
	case <-rest.C:
	}
}

func (l *link) searchPath(c *conn, q *quicSession, search *pathSearch) (result string) {
	t := time.NewTicker(tick)
	defer t.Stop()
	heard := q.received()
	var last time.Time
	for tries := 0; ; {
		if time.Since(last) >= pathProbeInterval {
			last = time.Now()
			if tries < maxPathProbes {
				tries++
				l.tryPath(c, q, search)
			}
			c.pingAgain() // something has to be sent
		}
		select {
		case <-search.moved:
			return pathMoved
		case <-q.done():
			return pathFailed
		case <-t.C:
		}
		if q.received() != heard {
			return pathRecovered
		}
	}
}

func (l *link) tryPath(c *conn, q *quicSession, search *pathSearch) {
	if err := q.socket.try(search); err != nil {
		l.node.log.Debug("no other path is tried", zap.String("peer", l.peer), zap.String("lane", c.name), zap.Error(err))
	}
}
