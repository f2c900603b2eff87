package balance

import (
	"cmp"
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

// rank places a candidate among the others: compared field by field, smaller is nearer. Candidates of
// equal rank share the connections between them.
type rank struct {
	turn  int // of its locality, where localities have weights
	level int
	sub   int           // inside the level: own region or zone before others, then the policy's order
	rtt   time.Duration // far peers only, in steps of rttStep; peers not measured come last
	name  string        // far peers only
}

func (r rank) compare(o rank) int {
	return cmp.Or(cmp.Compare(r.turn, o.turn), cmp.Compare(r.level, o.level), cmp.Compare(r.sub, o.sub),
		cmp.Compare(r.rtt, o.rtt), strings.Compare(r.name, o.name))
}

// place is where a candidate stands for a caller.
type place struct {
	rank rank
	// endpoints is how many it stands for there: 1, or those of the peer that give it its rank.
	endpoints int
	// parts are the localities with weights that it has endpoints in.
	parts []part
	// locality is that of its nearest endpoint.
	locality discovery.Locality
}

// part is a candidate's share of a locality with a weight.
type part struct {
	weight    int // its index
	endpoints int
}

// view is how a policy places candidates for one caller.
type view struct {
	localities *localities
	caller     discovery.Locality
	// weights are those for callers there; nil: none.
	weights []weight
}

// local places an endpoint of the own cluster.
func (v *view) local(at discovery.Locality) place {
	p := place{endpoints: 1, locality: at}
	if w := v.weightOf(at); w >= 0 {
		p.parts = []part{{weight: w, endpoints: 1}}
		return p
	}
	p.rank = v.localRank(at)
	return p
}

func (v *view) localRank(at discovery.Locality) rank {
	switch l := v.localities; {
	case l.off:
		return rank{}
	case len(l.priority) > 0:
		r := rank{level: l.priorityLevel(v.caller, at, true)}
		if r.level > 0 && !sameRegion(v.caller, at) {
			r.sub = 1 + l.regionRank(v.caller.Region, at.Region)
		}
		return r
	case sameZone(v.caller, at):
		return rank{level: levelZone}
	case sameRegion(v.caller, at):
		return rank{level: levelRegion}
	default:
		return rank{level: levelRegion, sub: 1 + l.regionRank(v.caller.Region, at.Region)}
	}
}

// peer places a peer by the nearest of the localities where it has endpoints that take connections: terminating ones, if it has no
// others.
func (v *view) peer(e *discovery.PeerExport, port uint16, terminating bool, rtt time.Duration) place {
	far := rank{level: levelFar, rtt: rtt.Round(rttStep), name: e.Peer}
	if rtt == 0 {
		far.rtt = time.Hour // not measured
	}
	var best place
	var parts []part
	for _, r := range e.Readiness {
		n := int(r.Ready)
		if terminating {
			n = int(r.Terminating)
		}
		if r.Port != port || n == 0 {
			continue
		}
		at := v.peerRank(r.Locality, far)
		switch c := at.compare(best.rank); {
		case best.endpoints == 0 || c < 0:
			best = place{rank: at, endpoints: n, locality: r.Locality}
		case c == 0:
			best.endpoints += n
		}
		if w := v.weightOf(r.Locality); w >= 0 {
			parts = append(parts, part{weight: w, endpoints: n})
		}
	}
	if len(parts) > 0 {
		best.rank, best.parts, best.endpoints = rank{}, parts, 0
		for _, p := range parts {
			best.endpoints += p.endpoints
		}
	}
	return best
}

// peerRank ranks a peer's endpoints at a locality; far is the rank of a peer that is not near.
func (v *view) peerRank(at discovery.Locality, far rank) rank {
	switch l := v.localities; {
	case l.off:
		return rank{}
	case len(l.priority) > 0:
		r := rank{level: l.priorityLevel(v.caller, at, false)}
		if r.level > 0 && !sameRegion(v.caller, at) {
			r.sub, r.rtt, r.name = 1+l.regionRank(v.caller.Region, at.Region), far.rtt, far.name
		}
		return r
	case sameZone(v.caller, at):
		return rank{level: levelNear}
	case sameRegion(v.caller, at):
		return rank{level: levelNear, sub: 1}
	default:
		far.sub = l.regionRank(v.caller.Region, at.Region)
		return far
	}
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
