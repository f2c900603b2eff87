package admission

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/eastway/eastway/internal/source"
)

// Table has the places of connections that have not proved who they are. A new one always gets a place: when there is none left, a
// connection that has been silent loses its own. So many connections keep others out only if so many come in the time of one
// handshake that all places change hands. It is safe for concurrent use; the zero value is empty.
type Table struct {
	// Most is how many places there are, of at most MaxHandshakes; 0: these.
	Most int

	mu        sync.Mutex
	places    []*Place
	groups    map[netip.Prefix]*group // sources and sites
	strangers int
	known     memory
	turns     turns
}

// Place is that of one connection.
type Place struct {
	// End closes the connection. It is for who evicts it.
	End func()
	// Source is whose place it is.
	Source netip.Prefix

	source, site *group
	known        bool      // a peer has authenticated from its source lately
	heard        time.Time // its last step towards a finished handshake; single bytes are none
	gone, lost   bool
	turn         turn
}

// group is where connections come from.
type group struct {
	of   netip.Prefix
	held int // places
}

// weight is how many places count against the group.
func (g *group) weight() int { return max(g.held, fairShare) }

// Admit gives a connection a place. The victim, if there is one, has lost its own: its End must be called.
func (t *Table) Admit(from net.Addr, end func(), now time.Time) (p, victim *Place) {
	p = &Place{End: end, Source: source.Of(from), heard: now}
	t.mu.Lock()
	defer t.mu.Unlock()
	p.known = t.known.has(p.Source)
	switch {
	case !p.known && t.strangers >= t.part(maxStrangers):
		victim = t.victim(func(o *Place) bool { return !o.known })
	case len(t.places) >= t.part(MaxHandshakes):
		victim = t.victim(func(*Place) bool { return true })
	}
	if victim != nil {
		victim.lost = true
		t.remove(victim)
		if victim.turn.waits {
			t.turns.end(victim, mostTurns())
		}
	}
	t.places = append(t.places, p)
	p.source, p.site = t.group(p.Source), t.group(site(p.Source))
	t.count(p, 1)
	return p, victim
}

// part is what of so many of MaxHandshakes places is left where there are fewer.
func (t *Table) part(of int) int {
	if t.Most == 0 {
		return of
	}
	return max(1, of*t.Most/MaxHandshakes)
}

// victim is, of the source that holds the most places, the connection that has been silent longest. Whether it has sent a ClientHello
// makes no difference: those that have not are closed soon anyway, and an attacker can send one as well.
func (t *Table) victim(of func(*Place) bool) *Place {
	var worst *Place
	for _, p := range t.places {
		if of(p) && (worst == nil || goesBefore(p, worst)) {
			worst = p
		}
	}
	return worst
}

// site is the wider network that a source counts for as well; that of an IPv4 address is the address.
func site(from netip.Prefix) netip.Prefix {
	if !from.Addr().Is6() {
		return from
	}
	return netip.PrefixFrom(from.Addr(), siteBits).Masked()
}

func goesBefore(a, b *Place) bool {
	return cmp.Or(
		cmp.Compare(b.site.weight(), a.site.weight()),
		cmp.Compare(b.source.weight(), a.source.weight()),
		a.heard.Compare(b.heard),
	) < 0
}

// Step notes that a connection has come further: it sent its ClientHello. A connection that has lost its place is ignored.
func (t *Table) Step(p *Place, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.heard = now
}

// Proved is the step with which a connection has proved to be a peer's. Its source is remembered.
func (t *Table) Proved(p *Place, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.heard = now
	t.known.add(p.Source)
}

// Leave frees a place, and ends its turn. It returns true if the place was lost to another connection.
func (t *Table) Leave(p *Place) (lost bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(p)
	t.turns.end(p, mostTurns())
	return p.lost
}

// Lost is true if the place was lost to another connection.
func (t *Table) Lost(p *Place) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return p.lost
}

// Busy is true while so many handshakes are under way that addresses should prove themselves first.
func (t *Table) Busy(from net.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.groups[source.Of(from)]
	return len(t.places) >= t.part(busyAt) || g != nil && g.held >= fairShare
}

// Len is how many places are taken.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.places)
}

func (t *Table) remove(p *Place) {
	if p.gone {
		return
	}
	p.gone = true
	i := slices.Index(t.places, p)
	last := len(t.places) - 1
	t.places[i], t.places[last] = t.places[last], nil
	t.places = t.places[:last]
	t.count(p, -1)
}

func (t *Table) count(p *Place, n int) {
	if !p.known {
		t.strangers += n
	}
	p.source.held += n
	if p.site != p.source {
		p.site.held += n
	}
	for _, g := range []*group{p.source, p.site} {
		if g.held == 0 {
			delete(t.groups, g.of)
		}
	}
}

func (t *Table) group(of netip.Prefix) *group {
	if t.groups == nil {
		t.groups = make(map[netip.Prefix]*group)
	}
	g := t.groups[of]
	if g == nil {
		g = &group{of: of}
		t.groups[of] = g
	}
	return g
}

// memory has the sources that were added last.
type memory struct {
	added map[netip.Prefix]uint64 // when, as a count
	now   uint64
}

func (m *memory) has(k netip.Prefix) bool { return m.added[k] > 0 }

func (m *memory) add(k netip.Prefix) {
	if m.added == nil {
		m.added = make(map[netip.Prefix]uint64)
	}
	m.now++
	m.added[k] = m.now
	if len(m.added) <= maxRemembered {
		return
	}
	oldest := k
	for o, at := range m.added {
		if at < m.added[oldest] {
			oldest = o
		}
	}
	delete(m.added, oldest)
}
