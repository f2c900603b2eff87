package tunnel

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/tunnel/tunnelpb"
	"github.com/eastway/eastway/tunnel/wire"
)

// Reasons of GoAways.
const (
	shuttingDown = "shutting down"                              // ends with the process
	movedAway    = "the peer is dialled at another address now" // ends with the link
)

// GoAway asks all peers to open no more streams here if they have another way, and refuses new links of theirs. Streams that
// they open nevertheless are taken, and this side opens its own as before: callers may not have heard yet.
func (n *Node) GoAway() {
	n.mu.Lock()
	n.goingAway = true
	n.mu.Unlock()
	for _, l := range n.allLinks() {
		l.askAway(shuttingDown)
	}
}

// Drain is GoAway and opens no more streams, dials nobody any more, and returns when each peer has said that it has no
// stream left, so that what was sent last has been read; or when ctx ends.
func (n *Node) Drain(ctx context.Context) error {
	n.GoAway()
	n.mu.Lock()
	n.draining = true
	n.mu.Unlock()
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		open, waiting := 0, 0
		for _, l := range n.allLinks() {
			l.drain(shuttingDown)
			open += l.openStreams()
			if !l.drained() {
				waiting++
			}
		}
		if waiting == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			if open == 0 {
				return nil
			}
			return fmt.Errorf("tunnel: drain: %d streams are still open: %w", open, context.Cause(ctx))
		case <-t.C:
		}
	}
}

// searchesNoMore: nothing needs another link. What is left of the callers may, until they have heard.
func (n *Node) searchesNoMore(usable bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.draining || n.goingAway && usable
}

func (l *link) handleGoAway(c *conn, m *tunnelpb.GoAway) {
	if c.role != tunnelpb.Hello_ROLE_CONTROL {
		c.draining.Store(true) // neither side opens streams here any more
		if m.GetDone() {
			c.peerDone.Store(true)
		}
		return
	}
	l.mu.Lock()
	// That it has no stream left here is what this side asked for: it does not ask for the same itself.
	answer := m.GetDone() && l.goAway != ""
	first := !answer && l.asked.IsZero()
	if first {
		l.asked = time.Now()
	}
	l.draining = l.draining || !answer
	l.peerDone = l.peerDone || m.GetDone()
	l.mu.Unlock()
	if first {
		l.node.log.Info("peer replica goes away", zap.String("peer", l.peer), zap.String("replica", l.replica),
			zap.String("reason", clip(m.GetReason())))
	}
}

// askAway asks the other side to open no more streams here. This side goes on opening them: it may still have callers.
func (l *link) askAway(reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.askAwayLocked(reason)
}

func (l *link) askAwayLocked(reason string) {
	if l.goAway != "" {
		return
	}
	l.goAway = reason
	if l.control != nil {
		l.control.send(wire.GoAway(reason))
	}
}

// retire says that the link was dialled at an address that is no longer the peer's. It is used until there is another one.
func (l *link) retire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retired = true
}

func (n *Node) perReplica(peer string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.wanted[peer].PerReplica
}

func (l *link) isRetired() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.retired
}

// replace is askAway for a link with whose replica there is another one now. Until that has lanes, streams that have no other
// way are still opened here.
func (l *link) replace(reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining = true
	if l.asked.IsZero() {
		l.asked = time.Now()
	}
	l.askAwayLocked(reason)
}

// drain is askAway, and opens no more streams itself.
func (l *link) drain(reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining, l.leaving = true, true
	l.askAwayLocked(reason)
}

// tellDone tells the other side, once, that a draining link or lane has no stream of ours left. Streams that the other
// side opened before it heard of the GoAway are in its own count until they have ended.
func (l *link) tellDone(conns []*conn) {
	needed := l.isLastResort() && !l.node.hasUsable(l.peer)
	l.mu.Lock()
	if l.draining && !l.saidDone && !needed && len(l.streams) == 0 && l.control != nil {
		l.saidDone = l.control.send(wire.GoAwayDone())
	}
	l.mu.Unlock()
	for _, c := range conns {
		if c.role == tunnelpb.Hello_ROLE_LANE && c.draining.Load() && c.active.Load()+c.opening.Load() == 0 && !c.saidDone.Load() {
			c.saidDone.Store(c.send(wire.GoAwayDone()))
		}
	}
}

// lastResortLocked: the other side has asked to open no more streams, a moment ago, and still takes those that have no other way.
// l.mu is held.
func (l *link) lastResortLocked() bool {
	return !l.leaving && !l.asked.IsZero() && time.Since(l.asked) < lastResort && !l.isClosed && !l.saidDone &&
		l.vitals.state == alive
}

func (l *link) isLastResort() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastResortLocked()
}

// drained: no stream is left on either side, and none will come.
func (l *link) drained() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.draining && l.saidDone && l.peerDone && len(l.streams) == 0
}

func (c *conn) drained() bool { return c.saidDone.Load() && c.peerDone.Load() && c.active.Load() == 0 }

func (l *link) isDraining() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.draining || l.isClosed
}
