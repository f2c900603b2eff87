package balance

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// localities is what a policy's localityLbSetting means.
type localities struct {
	// off: all endpoints of all clusters are equal.
	off        bool
	distribute []distribution
	priority   []string
	failover   []v1alpha1.LocalityFailover
}

// distribution divides the calls of the callers at one locality.
type distribution struct {
	from v1alpha1.LocalityPattern
	to   []weight
}

// weight is a locality's share of the calls.
type weight struct {
	at    v1alpha1.LocalityPattern
	share float64
}

// localitiesOf reads a validated setting; nil is the default.
func localitiesOf(set *v1alpha1.LocalityLbSetting) localities {
	switch {
	case set == nil:
		return localities{}
	case !or(set.Enabled, true):
		return localities{off: true}
	}
	l := localities{priority: set.FailoverPriority, failover: set.Failover}
	for _, d := range set.Distribute {
		from, err := v1alpha1.ParseLocality(d.From)
		if err != nil {
			continue
		}
		one := distribution{from: from}
		for _, text := range slices.Sorted(maps.Keys(d.To)) {
			if at, err := v1alpha1.ParseLocality(text); err == nil && d.To[text] > 0 {
				one.to = append(one.to, weight{at: at, share: float64(d.To[text])})
			}
		}
		l.distribute = append(l.distribute, one)
	}
	return l
}

// view is how candidates stand for callers at a locality; taken is where the caller is taken to be where only distance matters.
func (l *localities) view(caller, taken discovery.Locality) view {
	v := view{localities: l, caller: taken}
	for _, d := range l.distribute {
		if d.from.Matches(caller.Region, caller.Zone) {
			v.weights = d.to
			break
		}
	}
	return v
}

// weightOf is the index of the weight of a locality, -1 if it has none.
func (v *view) weightOf(at discovery.Locality) int {
	return slices.IndexFunc(v.weights, func(w weight) bool { return w.at.Matches(at.Region, at.Zone) })
}

// priorityLevel is how many labels of failoverPriority do not count for an endpoint: the first that differs from the caller's, and
// all after it.
func (l *localities) priorityLevel(caller, at discovery.Locality, own bool) int {
	for i, label := range l.priority {
		same := own // PriorityCluster
		switch label {
		case v1alpha1.PriorityRegion:
			same = sameRegion(caller, at)
		case v1alpha1.PriorityZone:
			same = caller.Zone != "" && caller.Zone == at.Zone
		}
		if !same {
			return len(l.priority) - i
		}
	}
	return 0
}

// regionRank is where the policy puts a region for callers in from: 0 is preferred most, regions
// that it does not name come after all that it does.
func (l *localities) regionRank(from, region string) int {
	rank := 0
	for _, f := range l.failover {
		if f.From != from {
			continue
		}
		if f.To == region {
			return rank
		}
		rank++
	}
	return rank
}

// turns draws the order of localities by their weights: the first is each with the probability of its share, the next is so among
// the others. Where one cannot serve, the next takes its place, so that its share is divided among the others by their weights.
func turns(weights []weight, draw func(i int) float64) []int {
	keys, order := make([]float64, len(weights)), make([]int, len(weights))
	for i, w := range weights {
		keys[i], order[i] = drawn(draw(i), w.share), i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(keys[a], keys[b]) })
	turn := make([]int, len(weights))
	for at, i := range order {
		turn[i] = at
	}
	return turn
}

// drawn is the key of something with a share in a draw: sorted by keys, each is first with the probability of its share, and so on
// among the rest (Efraimidis and Spirakis). u is evenly distributed over (0, 1].
func drawn(u, share float64) float64 { return -math.Log(u) / share }

// at is a candidate's rank and number of endpoints at the first turn of its localities. What has no weight comes after all that has.
func (p *place) at(turn []int) (rank, int) {
	r := p.rank
	if len(turn) == 0 || len(p.parts) == 0 {
		r.turn = len(turn)
		return r, p.endpoints
	}
	first, endpoints := slices.MinFunc(p.parts, func(a, b part) int { return turn[a.weight] - turn[b.weight] }), 0
	for _, o := range p.parts {
		if o.weight == first.weight { // by several of its zones
			endpoints += o.endpoints
		}
	}
	r.turn = turn[first.weight]
	return r, endpoints
}
