package discovery

import (
	"sync"

	"golang.org/x/time/rate"

	"github.com/eastway/eastway/discovery/catalogpb"
)

// What all replicas of one peer may take together: each of them may send as much as the only one.
const (
	// maxPeerBytes bounds the memory of their adverts. What two of them have alike counts once, so that this is two of
	// maxAdvertBytes that differ in everything: those of a peer whose processes are being replaced.
	maxPeerBytes = 128 << 20
	// maxStagedBytes bounds that of updates that are not complete, or wait to be applied.
	maxStagedBytes = 128 << 20
)

// holdings count how many adverts of one peer have each export. The zero value holds nothing.
type holdings struct {
	holders map[*PeerExport]int
	bytes   int
}

func (h *holdings) hold(n ServiceName, e *PeerExport) {
	if h.holders == nil {
		h.holders = make(map[*PeerExport]int)
	}
	if h.holders[e]++; h.holders[e] == 1 {
		h.bytes += exportCost(n, e)
	}
}

func (h *holdings) release(n ServiceName, e *PeerExport) {
	if h.holders[e]--; h.holders[e] == 0 {
		delete(h.holders, e)
		h.bytes -= exportCost(n, e)
	}
}

// releaseAll is for an advert that ends.
func (h *holdings) releaseAll(a *advert) {
	if !a.held {
		return
	}
	for n, e := range a.exports.All() {
		h.release(n, e)
	}
	a.held = false
}

// with is what bytes will be once the staged exports are committed to the advert. A snapshot replaces all others.
func (h *holdings) with(a *advert, staged map[ServiceName]*PeerExport, snapshot bool) int {
	bytes := h.bytes
	a.replaced(staged, snapshot, func(n ServiceName, old, e *PeerExport) {
		if e != nil && h.holders[e] == 0 {
			bytes += exportCost(n, e)
		}
		if old != nil && h.holders[old] == 1 {
			bytes -= exportCost(n, old)
		}
	})
	return bytes
}

// commit counts what the advert is about to get.
func (h *holdings) commit(a *advert, staged map[ServiceName]*PeerExport, snapshot bool) {
	a.replaced(staged, snapshot, func(n ServiceName, old, e *PeerExport) {
		if e != nil {
			h.hold(n, e)
		}
		if old != nil {
			h.release(n, old)
		}
	})
	a.held = true
}

// replaced calls f for each export that differs from the one before, as far as that is counted; nil is none.
func (a *advert) replaced(staged map[ServiceName]*PeerExport, snapshot bool, f func(n ServiceName, old, e *PeerExport)) {
	counted := func(n ServiceName) *PeerExport {
		if !a.held {
			return nil
		}
		return a.exports.Get(n)
	}
	for n, e := range staged {
		if old := counted(n); old != e {
			f(n, old, e)
		}
	}
	if !snapshot || !a.held {
		return
	}
	for n, old := range a.exports.All() {
		if _, named := staged[n]; !named {
			f(n, old, nil)
		}
	}
}

// share is what the links with all replicas of one peer have together.
type share struct {
	links int // guarded by Exchange.mu
	// The replica whose advert is in use has rates of its own, all others have theirs together: they do not hold it up.
	first, others rates

	turn   sync.Mutex // a message at a time is decoded: that takes many times its size
	staged int        // bytes of updates that are not complete or not applied
}

func newShare() *share {
	return &share{first: newRates(), others: newRates()}
}

// rates are how much is taken.
type rates struct{ messages, updates *rate.Limiter }

func newRates() rates {
	return rates{messages: rate.NewLimiter(messageRate, messageBurst), updates: rate.NewLimiter(applyRate, applyBurst)}
}

// stage counts what an update takes that has cost was before.
func (s *share) stage(was, is int) error {
	s.staged += is - was
	if s.staged > maxStagedBytes {
		return invalid("update", "with those that other replicas of the peer have not completed it needs more than %d MiB of memory",
			maxStagedBytes>>20)
	}
	return nil
}

// read takes a message of a link; done is true with the last one of an update, and u is the whole.
func (s *session) read(a *assembler, data []byte) (u Update, done bool, err error) {
	s.share.turn.Lock()
	defer s.share.turn.Unlock()
	m, err := decodeMessage(data)
	if err != nil {
		return u, false, err
	}
	switch m := m.GetMessage().(type) {
	case *catalogpb.Message_Resync:
		s.requested.Notify()
	case *catalogpb.Message_Update:
		if u, done, err = a.take(m.Update); err == nil {
			err = s.share.stage(s.staged, a.cost)
			s.staged = a.cost
		}
	}
	return u, done, err // a message of a newer release is none
}

// applied gives back what an update took until it was applied, or until its link ended.
func (s *session) applied() {
	s.share.turn.Lock()
	defer s.share.turn.Unlock()
	_ = s.share.stage(s.staged, 0) // less than before
	s.staged = 0
}

// rates are those that hold for the link now.
func (s *session) rates() rates {
	if s.exchange.cfg.Catalog.uses(s.link) {
		return s.share.first
	}
	return s.share.others
}

// uses returns true for the replica whose advert is the peer's current one.
func (c *Catalog) uses(link ReplicaID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[link.Peer]
	return p != nil && p.current != nil && p.current.replica == link.Replica
}
