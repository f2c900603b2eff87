package failover

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/eastway/eastway/discovery"
)

// Levels, nearest first.
const (
	levelZone   = iota // own cluster, the caller's zone
	levelRegion        // own cluster, elsewhere; the caller's region first
	levelNear          // peers with endpoints in the caller's zone or region
	levelFar           // other peers
)

// rank places an option among the others: compared field by field, smaller is nearer. Options of
// equal rank share the connections between them.
type rank struct {
	level int
	sub   int           // inside the level: own region or zone before others, then the policy's order
	rtt   time.Duration // far peers only, in steps of rttStep; peers not measured come last
	name  string        // far peers only
}

func (r rank) compare(o rank) int {
	return cmp.Or(cmp.Compare(r.level, o.level), cmp.Compare(r.sub, o.sub),
		cmp.Compare(r.rtt, o.rtt), strings.Compare(r.name, o.name))
}

// option is one place that a connection can be sent to, as it looks at one moment.
type option struct {
	target   *target
	key      targetKey
	cluster  string
	hostname string // of a pod of the own cluster
	locality discovery.Locality
	rank     rank
	rtt      time.Duration
	// load is what it has in flight, per ready endpoint in the case of a peer.
	load float64
	// share is the part of its usual connections that it gets: below 1 while it ramps up.
	share float64
	// terminating: it serves, but will be gone soon.
	terminating bool
	// last marks what is tried only when all else failed: ejected, or asked to be left alone for a while.
	last bool
}

// random is where choices come from; tests fix it.
type random struct {
	intN    func(n int) int
	float64 func() float64
}

// order sorts options into the order in which they are tried: level after level; inside a level the better of two at
// random, then the others by load, or, with an affinity, always in the same order. What ramps up stands in its place with
// the probability of its share, else behind everything healthy, so that the ramp holds against the next level too. What
// terminates comes behind what is ready, wherever that is; last resorts come last.
func order(options []option, affinity uint64, rnd random) []option {
	const usual, ramping, terminating, last = 0, 1, 2, 3
	class := make(map[targetKey]int, len(options))
	for i := range options {
		o := &options[i]
		switch {
		case o.last:
			class[o.key] = last
		case o.terminating:
			class[o.key] = terminating
		case o.share < 1 && affinity == 0 && rnd.float64() >= o.share:
			class[o.key] = ramping
		default:
			class[o.key] = usual
		}
	}
	sorted := slices.Clone(options)
	for i := len(sorted) - 1; i > 0; i-- { // shuffled: equal load is no order
		j := rnd.intN(i + 1)
		sorted[i], sorted[j] = sorted[j], sorted[i]
	}
	slices.SortStableFunc(sorted, func(a, b option) int {
		if c := cmp.Or(cmp.Compare(class[a.key], class[b.key]), a.rank.compare(b.rank)); c != 0 {
			return c
		}
		if affinity != 0 {
			return cmp.Compare(preference(affinity, b.key), preference(affinity, a.key))
		}
		return cmp.Compare(a.load, b.load)
	})
	var out []option
	for len(sorted) > 0 {
		n := 1
		for n < len(sorted) && class[sorted[n].key] == class[sorted[0].key] && sorted[n].rank == sorted[0].rank {
			n++
		}
		if affinity == 0 {
			twoChoices(sorted[:n], rnd)
		}
		out = append(out, sorted[:min(n, maxPerLevel)]...)
		sorted = sorted[n:]
	}
	return out
}

// twoChoices moves the less loaded of two options at random to the front of a
// level that is sorted by load. Taking the least loaded of all would send the
// connections of all proxies to the same endpoint.
func twoChoices(level []option, rnd random) {
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

// localRank places an endpoint of the own cluster.
func localRank(caller, at discovery.Locality, s *settings) rank {
	switch {
	case sameZone(caller, at):
		return rank{level: levelZone}
	case sameRegion(caller, at):
		return rank{level: levelRegion}
	default:
		return rank{level: levelRegion, sub: 1 + s.regionRank(caller.Region, at.Region)}
	}
}

// peerRank places a peer by the nearest of the localities where it has endpoints that take connections, and names that locality:
// terminating ones, if it has no others.
func peerRank(
	caller discovery.Locality, e *discovery.PeerExport, port uint16, terminating bool, s *settings, rtt time.Duration,
) (rank, discovery.Locality) {
	far := rank{level: levelFar, rtt: rtt.Round(rttStep), name: e.Peer}
	if rtt == 0 {
		far.rtt = time.Hour // not measured
	}
	var best rank
	var where discovery.Locality
	found := false
	for _, r := range e.Readiness {
		if r.Port != port || r.Ready == 0 && (!terminating || r.Terminating == 0) {
			continue
		}
		at := far
		switch {
		case sameZone(caller, r.Locality):
			at = rank{level: levelNear}
		case sameRegion(caller, r.Locality):
			at = rank{level: levelNear, sub: 1}
		default:
			at.sub = s.regionRank(caller.Region, r.Locality.Region)
		}
		if !found || at.compare(best) < 0 {
			best, where, found = at, r.Locality, true
		}
	}
	return best, where
}

func sameRegion(a, b discovery.Locality) bool { return a.Region != "" && a.Region == b.Region }

func sameZone(a, b discovery.Locality) bool {
	return sameRegion(a, b) && a.Zone != "" && a.Zone == b.Zone
}

// servingAt is how many endpoints of a peer take connections to a port: those that are ready, else those that terminate.
func servingAt(e *discovery.PeerExport, port uint16) (n uint64, terminating bool) {
	var leaving uint64
	for _, r := range e.Readiness {
		if r.Port == port {
			n += uint64(r.Ready)
			leaving += uint64(r.Terminating)
		}
	}
	if n == 0 && leaving > 0 {
		return leaving, true
	}
	return n, false
}
