package serve

import (
	"container/list"
	"net/netip"
)

// slot is the place of one connection.
type slot struct {
	source netip.Prefix
	of     *holding
	exempt bool
	// end closes the connection, which has to make room.
	end func()

	busy     int // requests under way
	all, own *list.Element
	gone     bool
}

// slots are the places of all connections. The connection that is idle longest makes room for a new one; a source that holds more than
// others loses its own. A connection with a request under way keeps its place. Requests have the same bounds as connections: each may need
// one to a backend. It has no lock and no clock.
type slots struct {
	most, perSource int

	held    int
	under   int        // requests under way
	idle    *list.List // of *slot, longest idle first
	sources map[netip.Prefix]*holding
}

// holding is what one source holds.
type holding struct {
	held  int
	under int
	idle  *list.List
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
	added = &slot{source: source, of: of, exempt: exempt}
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
	s.all, s.own = t.idle.PushBack(s), s.of.idle.PushBack(s)
}

func (t *slots) wake(s *slot) {
	t.idle.Remove(s.all)
	s.of.idle.Remove(s.own)
}

// begin is called with each request. Not ok: the connection has lost its place. Why says what there is too much of, if the request is only to
// be answered with that.
func (t *slots) begin(s *slot) (why refusal, ok bool) {
	if s.gone {
		return "", false
	}
	if s.busy == 0 {
		t.wake(s)
	}
	s.busy++
	switch {
	case t.under >= t.most:
		return requestsFull, true
	case !s.exempt && s.of.under >= t.perSource:
		return sourceRequestsFull, true
	}
	t.under++
	s.of.under++
	return "", true
}

// ended is called when it is over, with what begin has returned.
func (t *slots) ended(s *slot, why refusal) {
	if s.busy--; s.busy == 0 && !s.gone {
		t.rest(s)
	}
	if why == "" {
		t.under--
		s.of.under--
		t.release(s)
	}
}

// release forgets a source that has nothing left.
func (t *slots) release(s *slot) {
	if s.of.held == 0 && s.of.under == 0 {
		delete(t.sources, s.source)
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
	s.of.held--
	t.release(s)
}
