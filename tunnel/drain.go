package tunnel

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/clip"
	"github.com/eastway/eastway/tunnel/tunnelpb"
	"github.com/eastway/eastway/tunnel/vitals"
	"github.com/eastway/eastway/tunnel/wire"
)

// Reasons of GoAways.
const (
	shuttingDown = "shutting down"                             // ends with the process
	movedAway    = "the peer is dialed at another address now" // ends with the link
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

// Drain is GoAway and opens no more streams, dials no more, and returns when each peer has reported that it has no
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
		c.heardGoAway(m)
		return
	}
	l.mu.Lock()
	if m.GetDone() && c != l.control { // late: on the next connection the peer announces it again
		l.mu.Unlock()
		return
	}
	first := l.life.heardGoAway(time.Now(), m)
	l.mu.Unlock()
	if first {
		l.node.log.Info("peer replica goes away", zap.String("peer", l.peer), zap.String("replica", l.replica),
			zap.String("reason", clip.Text(m.GetReason(), maxReason)))
	}
}

// sendGoAwayLocked does nothing without a reason; without a control connection the next one does it.
func (l *link) sendGoAwayLocked(reason string) {
	if reason != "" && l.control != nil {
		l.control.send(wire.GoAway(reason))
	}
}

func (l *link) askAway(reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sendGoAwayLocked(l.life.askAway(reason))
}

func (l *link) replace(reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sendGoAwayLocked(l.life.replace(time.Now(), reason))
}

func (l *link) drain(reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sendGoAwayLocked(l.life.drain(reason))
}

func (l *link) retire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.life.retire()
}

func (l *link) isRetired() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.life.retired
}

func (n *Node) perReplica(peer string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.wanted[peer].PerReplica
}

// announceDone announces to the peer that a draining link or lane has no stream left here, unless the link is still needed.
func (l *link) announceDone(conns []*conn) {
	needed := l.isLastResort() && !l.node.hasUsable(l.peer)
	l.mu.Lock()
	if !needed && l.control != nil && l.life.doneDue(len(l.streams)) && l.control.send(l.life.say()) {
		l.life.said()
	}
	l.mu.Unlock()
	for _, c := range conns {
		if c.role == tunnelpb.Hello_ROLE_LANE {
			c.announceDone()
		}
	}
}

func (l *link) lastResortLocked() bool {
	return l.life.takesLastResort(time.Now()) && l.vitals.State() == vitals.Alive
}

func (l *link) isLastResort() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastResortLocked()
}

func (l *link) drained() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.life.drained(len(l.streams))
}

func (l *link) isDraining() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.life.draining()
}
