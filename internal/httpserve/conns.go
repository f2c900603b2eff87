package httpserve

import (
	"cmp"
	"net/netip"
	"time"
)

// slot is the place of one connection.
type slot struct {
	source netip.Prefix
	// busy: a request has been read and its response is not complete. A connection that has sent nothing, or half a
	// header, is not.
	busy  bool
	since time.Time // it became what it is
}

// table holds at most max connections. A new one is always admitted: when the table is full, the source with the most
// connections loses one. So a client with a single connection, such as a kubelet's probe, neither waits nor loses its place as
// long as other sources hold more. The zero value holds none.
type table struct {
	max   int
	slots map[*slot]struct{}
	held  map[netip.Prefix]int // connections per source
}

func newTable(maxSlots int) *table {
	return &table{max: maxSlots, slots: make(map[*slot]struct{}, maxSlots), held: make(map[netip.Prefix]int)}
}

// admit adds a connection; victim, if there is one, loses its place and must be closed.
func (t *table) admit(src netip.Prefix, now time.Time) (added, victim *slot) {
	if len(t.slots) >= t.max {
		victim = t.victim()
		t.remove(victim)
	}
	added = &slot{source: src, since: now}
	t.slots[added] = struct{}{}
	t.held[src]++
	return added, victim
}

// victim is a connection of the source with the most: the one idle longest, else the one that has been served longest. Among
// sources with equally many, idle connections go first too.
func (t *table) victim() *slot {
	var worst *slot
	for s := range t.slots {
		if worst == nil || t.goesBefore(s, worst) {
			worst = s
		}
	}
	return worst
}

func (t *table) goesBefore(a, b *slot) bool {
	busy := func(s *slot) int {
		if s.busy {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(t.held[b.source], t.held[a.source]),
		cmp.Compare(busy(a), busy(b)),
		a.since.Compare(b.since),
	) < 0
}

// remove frees a place; a connection that has lost it already is ignored.
func (t *table) remove(s *slot) {
	if _, ok := t.slots[s]; !ok {
		return
	}
	delete(t.slots, s)
	if t.held[s.source]--; t.held[s.source] == 0 {
		delete(t.held, s.source)
	}
}
