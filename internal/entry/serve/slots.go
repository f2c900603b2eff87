package serve

import (
	"container/list"
	"net/netip"
)

// slot is the place of one connection.
type slot struct {
	source netip.Prefix
	// end closes the connection, which has to make room.
	end func()

	busy     int // requests under way
	all, own *list.Element
	gone     bool
}

// slots are the places of all connections. The connection that is idle longest makes room for a new one; a source that holds more than
// others loses its own. A connection with a request under way keeps its place. It has no lock and no clock.
type slots struct {
	most, perSource int

	held    int
	idle    *list.List // of *slot, longest idle first
	sources map[netip.Prefix]*holding
}

// holding is what one source holds.
type holding struct {
	held int
	idle *list.List
}

func newSlots(most int) *slots {
	return &slots{
		most: most, perSource: min(most, max(most/sourceShare, minSourceConns)), idle: list.New(), sources: make(map[netip.Prefix]*holding),
	}
}

// admit adds a connection. The victim, if there is one, has lost its place. Without a place, why says what there is too much of. A source
// that is exempt, such as a load balancer in front, may hold all places.
func (t *slots) admit(source netip.Prefix, exempt bool) (added, victim *slot, why refusal) {
	of := t.sources[source]
	if of == nil {
		of = &holding{idle: list.New()}
	}
	switch {
	case !exempt && of.held >= t.perSource:
		if victim = first(of.idle); victim == nil {
			return nil, nil, sourceFull
		}
	case t.held >= t.most:
		victim = first(t.idle)
		if own := first(of.idle); own != nil && !exempt && of.held*len(t.sources) > t.held {
			victim = own
		}
		if victim == nil {
			return nil, nil, full
		}
	}
	if victim != nil {
		t.remove(victim)
	}
	t.sources[source] = of
	added = &slot{source: source}
	of.held++
	t.held++
	t.rest(added)
	return added, victim, ""
}

func first(l *list.List) *slot {
	if e := l.Front(); e != nil {
		s, _ := e.Value.(*slot)
		return s
	}
	return nil
}

func (t *slots) rest(s *slot) {
	s.all, s.own = t.idle.PushBack(s), t.sources[s.source].idle.PushBack(s)
}

func (t *slots) wake(s *slot) {
	t.idle.Remove(s.all)
	t.sources[s.source].idle.Remove(s.own)
}

// begin is called with each request; false: the connection has lost its place.
func (t *slots) begin(s *slot) bool {
	if s.gone {
		return false
	}
	if s.busy == 0 {
		t.wake(s)
	}
	s.busy++
	return true
}

// ended is called when it is over.
func (t *slots) ended(s *slot) {
	if s.busy--; s.busy == 0 && !s.gone {
		t.rest(s)
	}
}

// remove frees a place, if it has not lost it already.
func (t *slots) remove(s *slot) {
	if s.gone {
		return
	}
	if s.busy == 0 {
		t.wake(s)
	}
	s.gone = true
	t.held--
	of := t.sources[s.source]
	if of.held--; of.held == 0 {
		delete(t.sources, s.source)
	}
}
