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

// order sorts candidates into the order in which they are tried: level after level; inside a level the better of two at
// random, then the others by load, or, with an affinity, always in the same order. What ramps up stands in its place with
// the probability of its share, else behind everything healthy, so that the ramp holds against the next level too. What
// terminates comes behind what is ready, wherever that is; last resorts come last.
func order(candidates []Candidate, affinity uint64, rnd random) []Candidate {
	classes := make(map[Address]class, len(candidates))
	for i := range candidates {
		classes[candidates[i].Address] = candidates[i].class(affinity, rnd)
	}
	sorted := slices.Clone(candidates)
	for i := len(sorted) - 1; i > 0; i-- { // shuffled: equal load is no order
		j := rnd.intN(i + 1)
		sorted[i], sorted[j] = sorted[j], sorted[i]
	}
	slices.SortStableFunc(sorted, func(a, b Candidate) int {
		if c := cmp.Or(cmp.Compare(classes[a.Address], classes[b.Address]), a.rank.compare(b.rank)); c != 0 {
			return c
		}
		if affinity != 0 {
			return cmp.Compare(preference(affinity, b.Address), preference(affinity, a.Address))
		}
		return cmp.Compare(a.load, b.load)
	})
	var out []Candidate
	for len(sorted) > 0 {
		n := 1
		for n < len(sorted) && classes[sorted[n].Address] == classes[sorted[0].Address] && sorted[n].rank == sorted[0].rank {
			n++
		}
		if affinity == 0 {
			twoChoices(sorted[:n], rnd)
		}
		out = append(out, sorted[:min(n, MaxPerLevel)]...)
		sorted = sorted[n:]
	}
	return out
}

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

// twoChoices moves the less loaded of two candidates at random to the front of a
// level that is sorted by load. Taking the least loaded of all would send the
// connections of all proxies to the same endpoint.
func twoChoices(level []Candidate, rnd random) {
	if len(level) < 3 {
		return // the two are all there are, and sorted
	}
	a := rnd.intN(len(level))
	b := rnd.intN(len(level) - 1)
	if b >= a {
		b++
	}
	best := min(a, b) // sorted by load
	chosen := level[best]
	copy(level[1:best+1], level[:best])
	level[0] = chosen
}
