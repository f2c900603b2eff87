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
	// proxies are how many share what endpoints can take.
	proxies int
}

// contender is a candidate with what decides its place in the order.
type contender struct {
	*Candidate
	index int // of the candidate
	class class
	// rank and endpoints are those of its place where its localities have their turns.
	rank      rank
	endpoints int
	// load is the candidate's, per endpoint that counts.
	load float64
	// key is its place inside the level: the smallest comes first.
	key float64
	tie uint64
	// behind is where a target starts that is further behind in ROUND_ROBIN.
	behind float64
	// odds are the probability of its being the first of its level.
	odds float64
}

func (a *contender) compareLevel(b *contender) int {
	return cmp.Or(cmp.Compare(a.class, b.class), a.rank.compare(b.rank))
}

// order sorts candidates into the order in which they are tried: level after level; inside a level by the method, or, with an
// affinity, always in the same order. Localities with weights are levels in an order that is drawn by their weights. What ramps up
// stands in its place with the probability of its share, else behind everything healthy, so that the ramp holds against the next
// level too. What terminates comes behind what is ready, wherever that is; last resorts come last.
func (c *choice) order(candidates []Candidate) []Candidate {
	sorted := c.contenders(candidates, c.draw(candidates))
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
	markSpilled(out)
	return out
}

// lots is what chance decides before the order inside a level.
type lots struct {
	// turn is that of each weight.
	turn []int
	// waits is true for candidates that ramp up and do not stand in their place this time; nil: for none.
	waits []bool
}

// draw lets chance decide; with an affinity there is none.
func (c *choice) draw(candidates []Candidate) lots {
	var l lots
	l.turn = turns(c.weights, func(i int) float64 {
		if c.affinity != 0 {
			return fraction(mix(c.affinity ^ hash(c.weights[i].at.String())))
		}
		return 1 - c.random.float64()
	})
	for i := range candidates {
		if !c.ramps(&candidates[i]) || c.random.float64() < candidates[i].share {
			continue
		}
		if l.waits == nil {
			l.waits = make([]bool, len(candidates))
		}
		l.waits[i] = true
	}
	return l
}

// ramps is true for a candidate whose place is left to chance.
func (c *choice) ramps(one *Candidate) bool {
	return one.share < 1 && c.affinity == 0 && !one.last && !one.terminating
}

// contenders gives candidates their levels.
func (c *choice) contenders(candidates []Candidate, l lots) []*contender {
	all, out := make([]contender, len(candidates)), make([]*contender, len(candidates))
	for i := range candidates {
		one := &all[i]
		candidates[i].full, candidates[i].over, candidates[i].most = false, false, 0
		one.Candidate, one.index, one.class = &candidates[i], i, candidates[i].class(i < len(l.waits) && l.waits[i])
		one.rank, one.endpoints = one.place.at(l.turn)
		one.load = one.Candidate.load
		out[i] = one
	}
	c.fill(out)
	return out
}

// settle puts a level in order.
func (c *choice) settle(level []*contender) {
	c.sort(level)
	if c.affinity == 0 && c.method == leastRequest {
		c.odds(level)
		drawFirst(level, c.random)
	}
}

// sort puts a level in the order of its keys.
func (c *choice) sort(level []*contender) {
	if c.affinity == 0 {
		believe(level)
	}
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
}

// odds are the probabilities with which each of a sorted level comes first.
func (c *choice) odds(level []*contender) {
	all := 0
	for _, one := range level {
		all += one.endpoints
		one.odds = 0
	}
	switch {
	case len(level) == 1, c.affinity != 0, c.method == roundRobin:
		level[0].odds = 1
	case c.method == atRandom: // as the keys are drawn
		for _, one := range level {
			one.odds = float64(one.endpoints) / float64(all)
		}
	default:
		lessLoaded(level, all)
	}
}

// lessLoaded are the odds in LEAST_REQUEST, which takes the less loaded of two endpoints at random: the share of all pairs that each
// candidate of a level wins. Taking the least loaded of all would send the connections of all proxies to the same endpoint. A peer is
// drawn as often as all that it stands for. Of equal load, and of connections also of almost equal load, each wins as often as it is drawn.
func lessLoaded(level []*contender, all int) {
	pairs, left := float64(all)*float64(all-1)/2, all
	for len(level) > 0 {
		n, same := 0, 0
		for n < len(level) && level[n].isLoadedLike(level[0]) {
			same += level[n].endpoints
			n++
		}
		won := (float64(same-1)/2 + float64(left-same)) / pairs // by each endpoint: half of the pairs among equals, all with the others
		for _, one := range level[:n] {
			one.odds = won * float64(one.endpoints)
		}
		level, left = level[n:], left-same
	}
}

// isLoadedLike is true for a contender that is not less loaded than o, and not so much more that it matters. A request counts for
// itself; it is short, and what has one more in flight may be slow. Connections stay, and what a client sends on a second one may have to
// meet the first, such as the request of PostgreSQL to cancel a query: that must not always go to another endpoint.
func (a *contender) isLoadedLike(o *contender) bool {
	if a.request || a.refusing != o.refusing {
		return a.key == o.key
	}
	return a.key-o.key <= max(evenLoad/float64(a.endpoints), evenShare*o.key)
}

// drawFirst moves one to the front of a level by the odds.
func drawFirst(level []*contender, rnd random) {
	at, rest := 0, rnd.float64()
	for i, one := range level {
		if one.odds > 0 {
			at = i
		}
		if rest -= one.odds; rest < 0 {
			break
		}
	}
	chosen := level[at]
	copy(level[1:at+1], level[:at])
	level[0] = chosen
}

// fraction is a hash as a number in (0, 1].
func fraction(h uint64) float64 { return (float64(h>>11) + 1) / (1 << 53) }

// class comes before the level.
type class int

const (
	classUsual class = iota
	classRamping
	classFull
	classTerminating
	classLast
)

func (c *Candidate) class(waits bool) class {
	switch {
	case c.last:
		return classLast
	case c.terminating:
		return classTerminating
	case c.full:
		return classFull
	case waits:
		return classRamping
	default:
		return classUsual
	}
}
