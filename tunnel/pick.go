package tunnel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/eastway/eastway/tunnel/vitals"
)

// Open opens a stream to one of the peer's replicas, not to those in avoid, and sends the header at once. It does not
// wait for the answer. The error is ErrUnknownPeer, ErrNoLane or ErrFull (nothing was sent), or ctx's.
func (n *Node) Open(ctx context.Context, peer string, h *Header, avoid []string) (*Stream, error) {
	links, known := n.links(peer)
	if !known {
		return nil, fmt.Errorf("%w: %q", ErrUnknownPeer, peer)
	}
	choices := n.choices(links, avoid, (*link).usable)
	if len(choices) == 0 {
		choices = n.choices(links, avoid, (*link).isLastResort)
	}
	var last error
	if len(choices) == 0 && isFull(links, avoid) {
		n.meet(peer, limitLanes, 1)
		last = fmt.Errorf("%w: those to peer %s carry as many streams as they may", ErrFull, peer)
	}
	for _, ch := range choices {
		s, err := ch.link.openOn(ctx, ch.conn, h)
		if err == nil {
			n.metrics.Opened(peer, "out")
			return s, nil
		}
		if ctx.Err() != nil || !errors.Is(err, ErrNoLane) {
			return nil, err
		}
		last = err
	}
	if last == nil {
		last = fmt.Errorf("%w to peer %s", ErrNoLane, peer)
	}
	return nil, last
}

type choice struct {
	link  *link
	conn  *conn
	quiet bool
	busy  int32
	rank  int
}

func (a choice) compare(b choice) int {
	switch {
	case a.quiet && !b.quiet:
		return 1
	case b.quiet && !a.quiet:
		return -1
	}
	return cmp.Or(a.rank-b.rank, int(a.busy-b.busy))
}

// choices are the lanes that take a stream, best first: heard from recently, then by the transport's rank (a
// stream that turns out to be bulk stays where it was opened, and QUIC collapses under it), idle, spread.
func (n *Node) choices(links []*link, avoid []string, usable func(*link) bool) []choice {
	var out []choice
	for _, l := range links {
		if slices.Contains(avoid, l.replica) || !usable(l) {
			continue
		}
		for _, c := range l.usableLanes() {
			out = append(out, choice{
				link: l, conn: c, quiet: l.quiet(c), busy: c.active.Load(),
				rank: c.sess.Caps().Rank,
			})
		}
	}
	if len(out) > 1 {
		turn := int(n.rotor.Add(1)) % len(out)
		out = append(out[turn:], out[:turn]...)
	}
	slices.SortStableFunc(out, choice.compare)
	if len(out) > 0 && out[0].busy >= growAt {
		for _, ch := range out {
			ch.link.grow.Notify()
		}
	}
	return out
}

// usable: takes new streams.
func (l *link) usable() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.life.draining() && l.vitals.State() == vitals.Alive
}

func (l *link) usableLanes() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*conn, 0, len(l.lanes))
	for _, c := range l.lanes {
		if c.isOpen() && int(c.active.Load()) < c.sess.Caps().Streams && c.unanswered.Load() < maxUnansweredOpens {
			out = append(out, c)
		}
	}
	return out
}

// isOpen: it is for new streams, whether it has a place for one or not.
func (c *conn) isOpen() bool {
	silent, _ := c.suspected()
	return !silent && !c.retired() && !c.ended()
}

// laneless: none of a link's lanes is for new streams.
func laneless(lanes []*conn) bool { return !slices.ContainsFunc(lanes, (*conn).isOpen) }

// takes: the link would take a stream if one of its lanes had a place for it.
func takes(l *link) bool {
	usable := l.usable() || l.isLastResort()
	l.mu.Lock()
	defer l.mu.Unlock()
	return usable && !laneless(l.lanes)
}

// isFull: a link would take a stream. It gets another lane, if it may have more.
func isFull(links []*link, avoid []string) (full bool) {
	for _, l := range links {
		if !slices.Contains(avoid, l.replica) && takes(l) {
			full = true
			l.grow.Notify()
		}
	}
	return full
}

// hasUsable reports whether a link to the peer takes streams.
func (n *Node) hasUsable(peer string) bool {
	links, _ := n.links(peer)
	return slices.ContainsFunc(links, func(l *link) bool { return l.usable() && len(l.usableLanes()) > 0 })
}

// superseded: the link's replica has most likely ended, and another link to the peer takes streams.
func superseded(l *link) bool {
	links, _ := l.node.links(l.peer)
	return l.collapsed() && slices.ContainsFunc(links, func(o *link) bool { return o.usable() && !o.collapsed() && len(o.usableLanes()) > 0 })
}

// State is what failover needs to order a peer.
func (n *Node) State(peer string) PeerState {
	var st PeerState
	links, _ := n.links(peer)
	for _, l := range slices.DeleteFunc(links, func(l *link) bool { return !takes(l) }) {
		st.Usable = true
		if rtt := l.rtt(); rtt > 0 && (st.RTT == 0 || rtt < st.RTT) {
			st.RTT = rtt
		}
	}
	return st
}

// rtt is the control connection's smoothed round trip; 0 when there is none.
func (l *link) rtt() time.Duration {
	l.mu.Lock()
	c := l.control
	l.mu.Unlock()
	if c == nil {
		return 0
	}
	return c.rtt()
}
