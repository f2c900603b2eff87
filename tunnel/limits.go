package tunnel

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/tunnel/admission"
	"github.com/eastway/eastway/tunnel/transport"
)

// Limits that this package sets beside those of a session.
const (
	limitStreams     transport.Limit = "streams"      // a stream of the peer's was refused: its lane has as many as one may have
	limitPeerStreams transport.Limit = "peer_streams" // a stream of the peer's was refused: all its replicas have as many as they may have
	limitLanes       transport.Limit = "lanes"        // a stream of ours was not opened: no lane has a place for it
	limitHeaders     transport.Limit = "headers"      // a stream of the peer's was reset unread: too many came without a header
	limitAbandoned   transport.Limit = "abandoned"    // the lane ended: the peer keeps streams open that were given up here
	limitNewcomers   transport.Limit = "newcomers"    // a replica of the peer was refused: too many connected anew

	// Those of connections that have not proved who they are.
	limitHandshakes     transport.Limit = "handshakes"      // one ended, to admit another
	limitQUICHandshakes transport.Limit = "quic_handshakes" // one was refused over QUIC
)

// limitText is what an operator reads about a limit: what happened, with the bound, and what to do. So many handshakes are admitted.
func limitText(l transport.Limit, handshakes int) (what, remedy string) {
	const strangers = "restrict who can reach the tunnel port; the log has the source with the most of them"
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
	case limitLanes:
		return "streams not opened: all lanes to the peer carry as many as they may", "run more proxies on either side"
	case limitPeerStreams:
		return fmt.Sprintf("streams refused: all proxies of the peer together have at most %d", maxPeerStreams), "run more proxies here"
	case transport.LimitMemory:
		return "streams reset: the peer's data that waits to be read takes all memory that one peer may take",
			"run more proxies here, or raise --max-peer-memory; find out which applications or endpoints read too slowly"
	case limitHeaders:
		return "streams reset: too many on one lane without a header", hostile
	case transport.LimitWindow:
		return "lanes ended: more data than a stream's window", hostile
	case transport.LimitRefusals:
		return "lanes ended: the peer does not read that its streams are refused", hostile
	case limitAbandoned:
		return fmt.Sprintf("lanes ended: the peer keeps %d streams open that were given up", maxAbandoned), hostile
	case limitNewcomers:
		return fmt.Sprintf("replicas refused: more than %d connected anew, and %d in each second", admission.MaxNewcomers, admission.NewcomerRate),
			"find out why the peer's proxies restart or lose their connections"
	case limitHandshakes:
		return fmt.Sprintf("connections ended before they had proved who they are, to admit others: at most %d may be in their handshake",
			handshakes), strangers
	case limitQUICHandshakes:
		return fmt.Sprintf("QUIC connections refused: at most %d may be in their handshake; TCP goes on", transport.MaxQUICHandshakes), strangers
	}
	return "", "" // only throughput suffers: for the metric
}

type limitKey struct {
	peer  string
	limit transport.Limit
}

// text is for the operator.
func (k limitKey) text(handshakes int) (what, remedy string) {
	what, remedy = limitText(k.limit, handshakes)
	if k.peer == "" {
		return what, remedy
	}
	return "peer " + k.peer + ": " + what, remedy
}

// Problems are limits that streams have met lately, and why connections were not accepted, each with what to do.
func (n *Node) Problems() []string {
	text := func(k limitKey) (what, remedy string) { return k.text(n.gate.Most) }
	return append(n.limits.Problems(time.Now(), text), n.accepts.Problems(time.Now())...)
}

// meet counts that a limit was met on c, and logs it if that is due.
func (l *link) meet(c *conn, limit transport.Limit, times uint64) {
	l.node.meet(l.peer, limit, times, zap.String("replica", l.replica), zap.String("lane", c.name))
}

// meet counts that a peer has met a limit, and logs it if that is due.
func (n *Node) meet(peer string, limit transport.Limit, times uint64, where ...zap.Field) {
	n.metrics.Limited(peer, string(limit), times)
	what, remedy := limitText(limit, n.gate.Most)
	if what == "" {
		return
	}
	if due := n.limits.Note(time.Now(), limitKey{peer, limit}, times); due > 0 {
		n.log.Warn("peer has met a limit", append(where, zap.String("peer", peer), zap.String("limit", string(limit)),
			zap.String("what", what), zap.Uint64("times", due), zap.String("remedy", remedy))...)
	}
}

// meetHandshakes counts that a connection from a source lost its place, or got none, and logs it if that is due.
func (n *Node) meetHandshakes(limit transport.Limit, source string) {
	n.metrics.Refused(reasonOverloaded)
	if due := n.limits.Note(time.Now(), limitKey{limit: limit}, 1); due > 0 {
		what, remedy := limitText(limit, n.gate.Most)
		n.log.Warn(what, zap.String("source", source), zap.Uint64("times", due), zap.String("remedy", remedy))
	}
}

// meetSession counts what the session of c has met since the last call.
func (l *link) meetSession(c *conn) {
	for limit, times := range c.newlyMet() {
		if times > 0 {
			l.meet(c, limit, times)
		}
	}
}

// newlyMet are the limits that the session has met since the last call.
func (c *conn) newlyMet() map[transport.Limit]uint64 {
	now := c.sess.Limits()
	if now == nil {
		return nil
	}
	c.mu.Lock()
	before := c.met
	c.met = now
	c.mu.Unlock()
	met := make(map[transport.Limit]uint64)
	for limit, times := range now {
		met[limit] = times - before[limit]
	}
	return met
}
