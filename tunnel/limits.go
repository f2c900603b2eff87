package tunnel

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/tally"
	"github.com/eastway/eastway/tunnel/transport"
)

// Limits that this package sets beside those of a session.
const (
	limitStreams   transport.Limit = "streams"   // a stream of the peer's was refused: its lane has as many as one may have
	limitHeaders   transport.Limit = "headers"   // a stream of the peer's was reset unread: too many came without a header
	limitAbandoned transport.Limit = "abandoned" // the lane ended: the peer keeps streams open that were given up here
)

// limitText is what an operator reads about a limit: what happened, with the bound, and what to do.
func limitText(l transport.Limit) (what, remedy string) {
	const hostile = "upgrade the peer; if it is up to date, find out what uses its certificate"
	switch l {
	case transport.LimitBacklog:
		return fmt.Sprintf("streams refused: %d wait to be accepted here", transport.AcceptBacklog),
			"give this cluster's proxies more CPU, or run more of them"
	case transport.LimitPeer:
		return fmt.Sprintf("streams refused: %d wait for the peer to accept them", transport.AcceptBacklog),
			"give the peer's proxies more CPU, or run more of them"
	case limitStreams:
		return fmt.Sprintf("streams refused: one lane carries at most %d", maxLaneStreams), "run more proxies on either side"
	case limitHeaders:
		return "streams reset: too many on one lane without a header", hostile
	case transport.LimitWindow:
		return "lanes ended: more data than a stream's window", hostile
	case transport.LimitRefusals:
		return "lanes ended: the peer does not read that its streams are refused", hostile
	case limitAbandoned:
		return fmt.Sprintf("lanes ended: the peer keeps %d streams open that were given up", maxAbandoned), hostile
	}
	return "", "" // only throughput suffers: for the metric
}

// limitBook remembers which limits were met with which peer. It is fed with times.
type limitBook struct {
	mu  sync.Mutex
	met map[limitKey]*tally.Tally
}

type limitKey struct {
	peer  string
	limit transport.Limit
}

func newLimitBook() *limitBook { return &limitBook{met: make(map[limitKey]*tally.Tally)} }

// note counts that a limit was met n times. It returns how many to log; 0: write no log line.
func (b *limitBook) note(now time.Time, k limitKey, n uint64) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.met[k] == nil {
		b.met[k] = new(tally.Tally)
	}
	return b.met[k].Note(now, n)
}

// problems are the limits that were met lately, for the operator. Older ones are forgotten.
func (b *limitBook) problems(now time.Time) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for k, t := range b.met {
		if t.Over(now) {
			delete(b.met, k)
			continue
		}
		what, remedy := limitText(k.limit)
		out = append(out, fmt.Sprintf("peer %s: %s (%d×, last %v ago): %s",
			k.peer, what, t.Recent, now.Sub(t.Last).Truncate(time.Second), remedy))
	}
	slices.Sort(out)
	return out
}

// Problems are limits that streams have met lately, each with what to do.
func (n *Node) Problems() []string { return n.limits.problems(time.Now()) }

// meet counts that a limit was met on c, and logs it if that is due.
func (l *link) meet(c *conn, limit transport.Limit, times uint64) {
	l.node.metrics.limited(l.peer, limit, times)
	what, remedy := limitText(limit)
	if what == "" {
		return
	}
	if due := l.node.limits.note(time.Now(), limitKey{l.peer, limit}, times); due > 0 {
		l.node.log.Warn("streams have met a limit", zap.String("peer", l.peer), zap.String("replica", l.replica),
			zap.String("lane", c.name), zap.String("limit", string(limit)), zap.String("what", what),
			zap.Uint64("times", due), zap.String("remedy", remedy))
	}
}

// meetSession counts what the session of c has met since the last call.
func (l *link) meetSession(c *conn) {
	now := c.sess.Limits()
	if now == nil {
		return
	}
	c.mu.Lock()
	before := c.met
	c.met = now
	c.mu.Unlock()
	for limit, times := range now {
		if times > before[limit] {
			l.meet(c, limit, times-before[limit])
		}
	}
}
