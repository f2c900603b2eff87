package balance

import (
	"cmp"
	"slices"
)

// believe bounds how many endpoints a peer counts for in its level, as it may claim any number. It counts for at most beliefFactor times as
// many as all together that claim fewer, or for as many as the calls that it has served well at a time: a cluster that is much larger than
// the others has its share as soon as there are the calls that need it. Alone in its level it has all calls in any case.
func believe(level []*contender) {
	least, most := level[0].endpoints, level[0].endpoints
	for _, one := range level[1:] {
		least, most = min(least, one.endpoints), max(most, one.endpoints)
	}
	if most <= beliefFactor*least {
		return
	}
	byClaim := slices.SortedFunc(slices.Values(level), func(a, b *contender) int { return cmp.Compare(a.endpoints, b.endpoints) })
	smaller, same, claim := 0, 0, 0 // believed of those that claim fewer, and of those that claim as many
	for _, one := range byClaim {
		if one.endpoints > claim {
			smaller, same, claim = smaller+same, 0, one.endpoints
		}
		if is := max(beliefFactor*smaller, one.proven); smaller > 0 && is < claim && one.Peer != "" {
			one.load *= float64(claim) / float64(is)
			one.endpoints = is
		}
		same += one.endpoints
	}
}
