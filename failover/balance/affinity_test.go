package balance

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery"
)

// With ClientIP a caller stays at its endpoint; callers are spread; an endpoint that goes moves its own callers only.
func TestAffinity(t *testing.T) {
	t.Parallel()
	const callers, endpointsCount = 1000, 4
	p := policyOf("a", &discovery.Service{Spec: discovery.ServiceSpec{SessionAffinity: "ClientIP"}})
	candidates := make([]Candidate, endpointsCount)
	for i := range candidates {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 8000)
		candidates[i] = Candidate{Address: Address{Endpoint: at}, place: place{endpoints: 1}, share: 1, load: float64(i)}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	first := func(caller int, from []Candidate) Address {
		addr := fmt.Sprintf("10.1.%d.%d:%d", caller/256, caller%256, 1024+rnd.IntN(60000))
		by := choice{affinity: p.affinity(&Caller{Cluster: "a", Address: addr}), random: random{intN: rnd.IntN, float64: rnd.Float64}}
		return by.order(from)[0].Address
	}
	share := map[Address]int{}
	for c := range callers {
		k := first(c, candidates)
		share[k]++
		if again := first(c, candidates); again != k {
			t.Fatalf("caller %d was at %v, then at %v", c, k, again)
		}
		if left := first(c, candidates[1:]); k != candidates[0].Address && left != k {
			t.Fatalf("caller %d moved from %v to %v when another endpoint went", c, k, left)
		}
	}
	for k, n := range share {
		if n < callers/endpointsCount*7/10 {
			t.Errorf("%v has %d of %d callers", k, n, callers)
		}
	}
	none := policyOf("a", &discovery.Service{})
	if none.affinity(&Caller{Cluster: "a", Address: "10.0.0.1:1"}) != 0 || p.affinity(&Caller{Cluster: "a", Address: "a pod"}) != 0 {
		t.Error("an affinity without ClientIP, or without an address")
	}
}

// In file mode exports have no creation time: the one that has one decides, for callers of the cluster set only.
func TestAffinityOfTheDecidingExport(t *testing.T) {
	t.Parallel()
	p := policyOf("a", &discovery.Service{
		Export: &discovery.Export{},
		Peers: []discovery.PeerExport{{
			Peer: "b", Spec: discovery.ServiceSpec{SessionAffinity: "ClientIP"}, Export: discovery.Export{Created: time.Unix(1, 0)},
		}},
	})
	caller := Caller{Cluster: "a", Address: "10.0.0.1:1"}
	if p.affinity(&caller) != 0 {
		t.Error("the own name has the affinity of a peer's export")
	}
	if caller.ClusterSet = true; p.affinity(&caller) == 0 {
		t.Error("the cluster set's name has no affinity")
	}
}
