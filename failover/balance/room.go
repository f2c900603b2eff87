package balance

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/capacity"
)

// ErrFull is why a call is refused that nothing has room for. Peers know it by its text: other limits say nothing of what endpoints can take.
var ErrFull = errors.New("as many calls are in flight as endpoints can take by the TrafficPolicy's capacity")

// pool is a level of endpoints of the own cluster, which have room for calls together.
type pool struct {
	class class
	rank  rank
}

// fill marks what is full, and puts it behind all that has room, in the same order: so a level gets what fits, and the next one the rest.
// Endpoints of the own cluster count together, and each by itself, as a key may lead all calls to one of them.
func (c *choice) fill(all []*contender) {
	if !slices.ContainsFunc(all, func(one *contender) bool { return one.level.Bounded }) {
		return
	}
	pools := make(map[pool]*capacity.Level)
	for _, one := range all {
		if one.Peer != "" {
			continue
		}
		at := pool{one.class, one.rank}
		if l := pools[at]; l != nil {
			l.Add(one.level)
		} else {
			first := one.level
			pools[at] = &first
		}
	}
	for _, one := range all {
		if one.Peer != "" {
			one.full = one.level.IsFull(c.proxies)
			one.over = one.level.IsClosed(c.proxies)
		} else {
			all := pools[pool{one.class, one.rank}]
			one.full = all.IsFull(c.proxies) || one.level.IsFullAlone(c.proxies)
			one.over = all.IsOver(c.proxies) || one.level.IsOver(c.proxies)
			if one.level.Bounded {
				one.most = int64(capacity.Most(one.level.Declared, c.proxies))
			}
		}
	}
	for _, one := range all { // not before: pools have the class that it had
		if one.full {
			one.class = max(one.class, classFull)
		}
	}
}

// markSpilled marks the first of ordered candidates if what is nearer is full.
func markSpilled(ordered []Candidate) {
	if len(ordered) == 0 || ordered[0].full {
		return
	}
	ordered[0].spilled = slices.ContainsFunc(ordered, func(one Candidate) bool {
		return one.full && !one.last && !one.terminating && one.place.rank.compare(ordered[0].place.rank) < 0
	})
}

// WithRoom are the candidates of three lists, one after the other, that may get a call. What has no room for it is left out: endpoints of
// the own cluster that have as many calls in flight as they can take, and peers that have refused more just now. full: no list but the
// last, of what was tried before, has any other, so that the call is to be refused.
func WithRoom(untried, again, tried []Candidate) (left []Candidate, full bool) {
	all, n := append(append(untried, again...), tried...), len(untried)+len(again)
	isOver := func(c Candidate) bool { return c.over }
	if !slices.ContainsFunc(all, isOver) {
		return all, false
	}
	left = slices.DeleteFunc(slices.Clone(all[:n]), isOver)
	if len(left) == 0 {
		return nil, true
	}
	return append(left, slices.DeleteFunc(slices.Clone(all[n:]), isOver)...), false
}

// HaveRoom is true if one of them may get a call.
func HaveRoom(candidates []Candidate) bool {
	return slices.ContainsFunc(candidates, func(c Candidate) bool { return !c.over })
}

// newTarget adds a target to a group; first: with the group itself, so that how long it has been there is not known. g.mu is held.
func newTarget(a Address, g *group, first bool) *target {
	t := &target{address: a, group: g, active: g.left[a]}
	if t.active == nil {
		t.active = new(atomic.Int64)
	}
	delete(g.left, a)
	if !first {
		t.room.Empty()
	}
	g.targets[a] = t
	return t
}

// setRoom takes in what the catalog has on it. group.mu is held.
func (t *target) setRoom(svc *discovery.Service, s standing) {
	most, bounded := roomOf(svc, t.group.key.Port, t.group.policy.inFlight, t.address, s)
	t.room.Set(most, bounded, time.Now())
}

// refuse has a peer that refused a call for load get fewer from now on. It is false for one that says nothing of its capacity, or has refused
// the only call: it is to get none. group.mu is held.
func (t *target) refuse(d time.Duration, now time.Time) bool {
	inFlight := t.active.Load()
	return t.address.Peer != "" && inFlight > 0 && t.room.Refuse(float64(inFlight)*float64(t.group.replicas()), d, now)
}

// roomOf is what a place can take; bounded: it says so.
func roomOf(svc *discovery.Service, port uint16, inFlight uint32, a Address, s standing) (most float64, bounded bool) {
	if a.Peer == "" {
		if s == standingOut {
			return 0, inFlight > 0
		}
		return float64(inFlight), inFlight > 0
	}
	i := slices.IndexFunc(svc.Peers, func(e discovery.PeerExport) bool { return e.Peer == a.Peer })
	if i < 0 {
		return 0, false
	}
	for _, r := range svc.Peers[i].Readiness {
		if r.Port != port || r.Total == 0 {
			continue
		}
		if r.InFlight == 0 {
			return 0, false
		}
		n := r.Ready
		if s == standingTerminating {
			n = r.Terminating
		}
		most, bounded = most+float64(n)*float64(r.InFlight), true
	}
	return most, bounded
}
