package tunnel

import (
	"time"

	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// budgetOf is what all replicas of one peer may take together of this process.
func (n *Node) budgetOf(peer string) *transport.Budget {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.peerLocked(peer).budget
}

// load is a node as metrics see it.
type load struct{ *Node }

// Load implements metrics.Node.
func (n load) Load(peer string) (rtt time.Duration, unread int64) {
	return n.State(peer).RTT, n.budgetOf(peer).Used()
}

// full is the limit that another stream would exceed; empty: none.
func (c *conn) full() (limit transport.Limit, reason string) {
	switch {
	case c.active.Load() >= maxLaneStreams:
		return limitStreams, "too many streams on one lane"
	case c.budget.Streams.Load() >= maxPeerStreams:
		return limitPeerStreams, "too many streams of one peer"
	}
	return "", ""
}

// admits bounds the streams whose header has not come, beside those that are open. Up to the limits of the lane and of the peer,
// streams are read and refused with a reason; twice as many are not even read.
func (c *conn) admits() bool {
	if c.role == tunnelpb.Hello_ROLE_CONTROL {
		return c.opening.Load() < maxControlStreams
	}
	return c.opening.Load()+c.active.Load() < 2*maxLaneStreams && c.budget.Streams.Load() < 2*maxPeerStreams
}

func (c *conn) streamOpened() {
	c.active.Add(1)
	c.budget.Streams.Add(1)
}

func (c *conn) streamClosed() {
	c.idleSince.Store(int64(time.Since(c.born)))
	c.active.Add(-1)
	c.budget.Streams.Add(-1)
}

// headerAwaited counts a stream of the peer's whose header has not come, until headerRead.
func (c *conn) headerAwaited() {
	c.opening.Add(1)
	c.budget.Streams.Add(1)
}

func (c *conn) headerRead() {
	c.opening.Add(-1)
	c.budget.Streams.Add(-1)
}
