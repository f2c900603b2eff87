package balance

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/capacity"
)

// Capacity is what the endpoints of one cluster can take of a service port.
type Capacity struct {
	Key
	// Cluster is the own one or a peer.
	Cluster string
	// Room is how many calls this proxy may have in flight there, InFlight how many it has.
	Room, InFlight float64
}

// Capacities are those that policies, and peers, declare, and how many calls of each such port went further away because what is nearer was
// full.
func Capacities(tb *Table) (all []Capacity, spilled map[Key]uint64) {
	tb.mu.Lock()
	groups := slices.Collect(maps.Values(tb.groups))
	tb.mu.Unlock()
	spilled = make(map[Key]uint64)
	for _, g := range groups {
		if g.key.Pod != (discovery.PodRef{}) {
			continue
		}
		for cluster, level := range capacities(g, tb.cfg.Cluster, time.Now()) {
			spilled[g.key] = g.spilled.Load()
			all = append(all, Capacity{
				Key: g.key, Cluster: cluster, Room: capacity.Share(level.Grown, tb.replicas()), InFlight: level.InFlight,
			})
		}
	}
	return all, spilled
}

// capacities are those of each cluster that declares one.
func capacities(g *group, own string, now time.Time) map[string]*capacity.Level {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make(map[string]*capacity.Level)
	for a, t := range g.targets {
		cluster, level := cmp.Or(a.Peer, own), t.room.At(now, float64(t.active.Load()))
		switch sum := out[cluster]; {
		case !level.Bounded:
		case sum == nil:
			out[cluster] = &level
		default:
			sum.Add(level)
		}
	}
	return out
}
