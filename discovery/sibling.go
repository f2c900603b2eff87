package discovery

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/eastway/eastway/discovery/catalogpb"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/internal/notify"
)

// The processes of one cluster are siblings: they have the same SPIFFE ID. A proxy forwards the adverts of peers to the
// controller, so that the controller needs no access to the internet. The controller sends only requests for snapshots.

// peerStatesInterval is how often siblings are sent how peers are connected, if that changed.
const peerStatesInterval = time.Second

// ServeSibling forwards the adverts of peers to a process of the own cluster, until ctx or the link ends. It returns nil
// when ctx ended.
func (x *Exchange) ServeSibling(ctx context.Context, replica string, conn Conn) error {
	s := &siblingSession{exchange: x, conn: conn, requested: notify.NewSignal()}
	if err := bothWays(ctx, s.send, s.receive); ctx.Err() == nil {
		return fmt.Errorf("discovery: forward the peers' adverts to %s: %w", replica, err)
	}
	return nil
}

type siblingSession struct {
	exchange  *Exchange
	conn      Conn
	requested notify.Signal // the sibling needs everything again
}

func (s *siblingSession) send(ctx context.Context) error {
	var (
		sent   = map[string]*siblingSent{}
		pace   = rate.NewLimiter(rate.Every(coalesce), 1)
		states = time.NewTicker(peerStatesInterval)
		last   []PeerConnectivity
	)
	defer states.Stop()
	for {
		if err := pace.Wait(ctx); err != nil {
			return err
		}
		deltas, more := s.exchange.cfg.Catalog.siblingDeltas(sent)
		for _, d := range deltas {
			if err := s.sendDelta(ctx, d); err != nil {
				return err
			}
		}
		if now := s.exchange.peerStates(); !equalStates(now, last) {
			if err := send(ctx, s.conn, encodePeerStates(now)); err != nil {
				return err
			}
			last = now
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		case <-states.C:
		case <-s.requested:
			clear(sent)
		}
	}
}

func (s *siblingSession) sendDelta(ctx context.Context, d peerDelta) error {
	if d.update != nil {
		if err := sendDelta(ctx, s.conn, d.peer, s.exchange.cfg.Epoch, d.update); err != nil {
			return err
		}
	}
	if d.lost {
		return send(ctx, s.conn, &catalogpb.Message{Message: &catalogpb.Message_Lost{Lost: &catalogpb.Lost{Cluster: d.peer}}})
	}
	return nil
}

// receive waits for the end of the link; a sibling sends only requests for snapshots.
func (s *siblingSession) receive(ctx context.Context) error {
	pace := rate.NewLimiter(rate.Every(resyncInterval), 1)
	return receiveEach(ctx, s.conn, func(m *catalogpb.Message) error {
		if m.GetResync() == nil {
			return nil
		}
		if err := pace.Wait(ctx); err != nil {
			return err
		}
		s.requested.Notify()
		return nil
	})
}

func (x *Exchange) peerStates() []PeerConnectivity {
	if x.cfg.PeerStates == nil {
		return nil
	}
	return x.cfg.PeerStates()
}

// siblingSent is what a sibling has of one peer.
type siblingSent struct {
	advert   *advert // that the exports are from, nil before the first
	revision uint64  // of the advert
	exports  hashtrie.Map[ServiceName, *PeerExport]
	linked   bool
	updates  uint64 // number of updates sent
}

// peerDelta is what a sibling needs to be sent of one peer.
type peerDelta struct {
	peer   string
	update *delta // nil: nothing changed
	lost   bool   // the peer has no link any more
}

// siblingDeltas returns what a sibling lacks, with sent brought up to date, and a channel that is closed with the next
// change. Its cost grows with what changed only.
func (c *Catalog) siblingDeltas(sent map[string]*siblingSent) (deltas []peerDelta, more <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range sent {
		if c.peers[name] == nil {
			delete(sent, name)
		}
	}
	for _, name := range c.peerNames {
		current := c.peers[name].current
		if current == nil {
			continue
		}
		s := sent[name]
		if s == nil {
			s = &siblingSent{}
			sent[name] = s
		}
		d := peerDelta{peer: name, lost: !current.linked && (s.linked || s.advert == nil)}
		if s.advert != current || s.revision != current.revision || current.linked && !s.linked {
			d.update = s.advance(current)
		}
		s.linked = current.linked
		if d.lost {
			s.exports, s.updates = hashtrie.Map[ServiceName, *PeerExport]{}, 0 // the next update has no base
		}
		if d.update != nil || d.lost {
			deltas = append(deltas, d)
		}
	}
	return deltas, c.peersChanged.Changed()
}

// advance returns the delta from what was sent to the advert, which counts as sent now. The delta is not nil even if it is
// empty: the peer's link is back.
func (s *siblingSent) advance(to *advert) *delta {
	d := &delta{base: s.updates, revision: s.updates + 1}
	for n := range hashtrie.Differing(s.exports, to.exports) {
		old, e := s.exports.Get(n), to.exports.Get(n)
		if e == nil {
			d.changes = append(d.changes, change{n, partMetadata, nil})
			continue
		}
		p := partMetadata | partReadiness
		m := e.metadata()
		if old != nil && m.equal(new(old.metadata())) {
			p = partReadiness
		}
		d.changes = append(d.changes, change{n, p, &export{metadata: m, endpoints: Endpoints{Rows: e.Readiness, Pods: e.Pods}}})
	}
	slices.SortFunc(d.changes, func(a, b change) int { return a.name.Compare(b.name) })
	s.advert, s.revision, s.exports, s.updates = to, to.revision, to.exports, d.revision
	return d
}
