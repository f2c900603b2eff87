package balance

import (
	"cmp"
	"slices"
)

// random is where choices come from; tests fix it.
type random struct {
	intN    func(n int) int
	float64 func() float64
}

// method is how one of several equal candidates is chosen.
type method int

const (
	leastRequest method = iota
	roundRobin
	atRandom
)

// choice is how candidates are put in order.
type choice struct {
	method method
	// weights are those of localities.
	weights []weight
	// affinity is the same for all calls that go to one endpoint, 0 for calls that need not.
	affinity uint64
	random   random
	// salt makes the order of rounds another one in each proxy.
	salt uint64
}

// contender is a candidate with what decides its place in the order.
type contender struct {
	*Candidate
	class class
	// rank and endpoints are those of its place where its localities have their turns.
	rank      rank
	endpoints int
	// key is its place inside the level: the smallest comes first.
	key float64
	tie uint64
	// behind is where a target starts that is further behind in ROUND_ROBIN.
	behind float64
}

func (a *contender) compareLevel(b *contender) int {
	return cmp.Or(cmp.Compare(a.class, b.class), a.rank.compare(b.rank))
}

// order sorts candidates into the order in which they are tried: level after level; inside a level by the method, or, with an
// affinity, always in the same order. Localities with weights are levels in an order that is drawn by their weights. What ramps up
// stands in its place with the probability of its share, else behind everything healthy, so that the ramp holds against the next
// level too. What terminates comes behind what is ready, wherever that is; last resorts come last.
func (c *choice) order(candidates []Candidate) []Candidate {
	sorted := c.contenders(candidates)
	for i := len(sorted) - 1; i > 0; i-- { // shuffled: equal load is no order
		j := c.random.intN(i + 1)
		sorted[i], sorted[j] = sorted[j], sorted[i]
	}
	slices.SortStableFunc(sorted, (*contender).compareLevel)
	out := make([]Candidate, 0, len(sorted))
	for len(sorted) > 0 {
		n := 1
		for n < len(sorted) && sorted[n].compareLevel(sorted[0]) == 0 {
			n++
		}
		c.settle(sorted[:n])
		for _, one := range sorted[:min(n, MaxPerLevel)] {
			out = append(out, *one.Candidate)
			if c.affinity == 0 && c.method == roundRobin {
				out[len(out)-1].turn = turn{counts: true, behind: one.behind, endpoints: one.endpoints}
			}
		}
		sorted = sorted[n:]
	}
	return out
}

// contenders draws what is left to chance but for the order inside a level.
func (c *choice) contenders(candidates []Candidate) []*contender {
	turn := turns(c.weights, func(i int) float64 {
		if c.affinity != 0 {
			return fraction(mix(c.affinity ^ hash(c.weights[i].at.String())))
		}
		return 1 - c.random.float64()
	})
	all, out := make([]contender, len(candidates)), make([]*contender, len(candidates))
	for i := range candidates {
		one := &all[i]
		one.Candidate, one.class = &candidates[i], candidates[i].class(c.affinity, c.random)
		one.rank, one.endpoints = one.place.at(turn)
		out[i] = one
	}
	return out
}

// settle puts a level in order.
func (c *choice) settle(level []*contender) {
	var busiest, furthest float64
	for _, one := range level {
		busiest, furthest = max(busiest, one.load), max(furthest, one.round)
	}
	for _, one := range level {
		switch endpoints := float64(one.endpoints); {
		case c.affinity != 0:
			one.key = drawn(fraction(preference(c.affinity, one.Address)), endpoints)
		case c.method == atRandom:
			one.key = drawn(1-c.random.float64(), endpoints)
		case c.method == roundRobin:
			one.key, one.tie = one.round, preference(c.salt, one.Address)
			one.behind = furthest - roundLag
		default:
			one.key = penalized(one.load, one.refusing, busiest)
		}
	}
	slices.SortStableFunc(level, func(a, b *contender) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.tie, b.tie)) })
	if c.affinity == 0 && c.method == leastRequest {
		twoChoices(level, c.random)
	}
}

// fraction is a hash as a number in (0, 1].
func fraction(h uint64) float64 { return (float64(h>>11) + 1) / (1 << 53) }

// class comes before the level.
type class int

const (
	classUsual class = iota
	classRamping
	classTerminating
	classLast
)

func (c *Candidate) class(affinity uint64, rnd random) class {
	switch {
	case c.last:
		return classLast
	case c.terminating:
		return classTerminating
	case c.share < 1 && affinity == 0 && rnd.float64() >= c.share:
		return classRamping
	default:
		return classUsual
	}
}

// twoChoices moves the less loaded of two endpoints at random to the front of a
// level that is sorted by load. Taking the least loaded of all would send the
// connections of all proxies to the same endpoint. A peer is drawn as often as all that it stands for.
func twoChoices(level []*contender, rnd random) {
	all := 0
	for _, c := range level {
		all += c.endpoints
	}
	if all < 3 {
		return // the two are all there are, and sorted
	}
	a := rnd.intN(all)
	b := rnd.intN(all - 1)
	if b >= a {
		b++
	}
	best := owner(level, min(a, b)) // sorted by load
	chosen := level[best]
	copy(level[1:best+1], level[:best])
	level[0] = chosen
}

// owner is the index of the candidate that the endpoint of that number is one of.
func owner(level []*contender, number int) int {
	for i, c := range level {
		number -= c.endpoints
		if number < 0 {
			return i
		}
	}
	return len(level) - 1
}
