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
	level int
	sub   int           // inside the level: own region or zone before others, then the policy's order
	rtt   time.Duration // far peers only, in steps of rttStep; peers not measured come last
	name  string        // far peers only
}

func (r rank) compare(o rank) int {
	return cmp.Or(cmp.Compare(r.level, o.level), cmp.Compare(r.sub, o.sub),
		cmp.Compare(r.rtt, o.rtt), strings.Compare(r.name, o.name))
}

// localRank places an endpoint of the own cluster.
func localRank(caller, at discovery.Locality, s *policy) rank {
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
	caller discovery.Locality, e *discovery.PeerExport, port uint16, terminating bool, s *policy, rtt time.Duration,
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
