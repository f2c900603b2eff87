package failover

import (
	"hash/fnv"
	"net/netip"

	"github.com/eastway/eastway/discovery"
)

// sessionAffinityClientIP is Kubernetes' word in Service.spec.sessionAffinity.
const sessionAffinityClientIP = "ClientIP"

// purpose is what the callers of one listener mean.
type purpose struct {
	portKey
	// clusterSet: the own endpoints count only if the service is exported.
	clusterSet bool
}

// spec is what applies to a connection: that of the own Service, or the one that decides for all clusters.
func (pu purpose) spec(own string, svc *discovery.Service) discovery.ServiceSpec {
	if pu.clusterSet {
		return svc.Decisive(own)
	}
	return svc.Spec
}

// affinity is a number that is the same for all connections of a caller while its sessions shall stay together, else 0.
// No state is kept, so all proxies agree, and the timeout of a session never ends: a caller moves when endpoints change.
func affinity(spec discovery.ServiceSpec, cluster, caller string) uint64 {
	if spec.SessionAffinity != sessionAffinityClientIP {
		return 0
	}
	from, err := netip.ParseAddrPort(caller)
	if err != nil {
		return 0 // a peer that does not say who calls
	}
	return hash(cluster, from.Addr().Unmap().String())
}

// hash is never 0.
func hash(words ...string) uint64 {
	h := fnv.New64a()
	for _, w := range words {
		_, _ = h.Write([]byte(w)) // never fails
		_, _ = h.Write([]byte{0})
	}
	return max(mix(h.Sum64()), 1)
}

// mix spreads what differs in a few bits over all (the finaliser of splitmix64): FNV alone leaves neighbours neighbours.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// preference is how much the caller of that affinity prefers a target: rendezvous hashing, so that only callers of a target
// that comes or goes move.
func preference(affinity uint64, k targetKey) uint64 { return mix(affinity ^ hash(k.String())) }
