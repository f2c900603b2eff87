package balance

import (
	"hash/fnv"
	"net/netip"
)

// sessionAffinityClientIP is the value of Service.spec.sessionAffinity that keeps a client's sessions together.
const sessionAffinityClientIP = "ClientIP"

// affinity is a number that is the same for all connections of a caller while its sessions stay together, or for all requests
// with the same key, else 0.
// No state is kept, so all proxies agree, and the timeout of a session never ends: a caller moves when endpoints change.
func (s *policy) affinity(c *Caller) uint64 {
	if c.Affinity != 0 {
		return c.Affinity
	}
	if !s.isSticky(c) {
		return 0
	}
	from, err := netip.ParseAddrPort(c.Address)
	if err != nil {
		return 0 // a peer that does not name the caller's address
	}
	return hash(c.Cluster, from.Addr().Unmap().String())
}

// isSticky is true while a caller's sessions stay together by its address.
func (s *policy) isSticky(c *Caller) bool {
	if c.ClusterSet {
		return s.stickySet
	}
	return s.sticky
}

// hash is never 0.
func hash(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		_, _ = h.Write([]byte(p)) // never fails
		_, _ = h.Write([]byte{0})
	}
	return max(mix(h.Sum64()), 1)
}

// mix spreads what differs in a few bits over all (the finalizer of splitmix64): FNV alone leaves neighbors neighbors.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// preference is how much the caller of that affinity prefers a target: rendezvous hashing, so that only callers of a target
// that comes or goes move.
func preference(affinity uint64, a Address) uint64 { return mix(affinity ^ hash(a.String())) }
