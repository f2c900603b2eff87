package balance

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// With ClientIP a caller stays at its endpoint; callers are spread; an endpoint that goes moves its own callers only.
func TestAffinity(t *testing.T) {
	t.Parallel()
	const callers, endpointsCount = 1000, 4
	p := policyOf("a", &discovery.Service{Spec: discovery.ServiceSpec{SessionAffinity: "ClientIP"}}, servicePort)
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
	none := policyOf("a", &discovery.Service{}, servicePort)
	if none.affinity(&Caller{Cluster: "a", Address: "10.0.0.1:1"}) != 0 || p.affinity(&Caller{Cluster: "a", Address: "a pod"}) != 0 {
		t.Error("an affinity without ClientIP, or without an address")
	}
}

// The export that comes first by the controller's order decides, for callers of the cluster set only.
func TestAffinityOfTheDecidingExport(t *testing.T) {
	t.Parallel()
	p := policyOf("a", &discovery.Service{
		Export: &discovery.Export{}, Precedence: []string{"b", "a"},
		Peers: []discovery.PeerExport{{
			Peer: "b", Spec: discovery.ServiceSpec{SessionAffinity: "ClientIP"}, Export: discovery.Export{Created: time.Unix(1, 0)},
		}},
	}, servicePort)
	caller := Caller{Cluster: "a", Address: "10.0.0.1:1"}
	if p.affinity(&caller) != 0 {
		t.Error("the own name has the affinity of a peer's export")
	}
	if caller.ClusterSet = true; p.affinity(&caller) == 0 {
		t.Error("the cluster set's name has no affinity")
	}
}

// Requests with a key stay together whatever their address; TCP knows the address only.
func TestConsistentHash(t *testing.T) {
	t.Parallel()
	by := func(h v1alpha1.ConsistentHash) *policy {
		set := &v1alpha1.TrafficPolicySpec{LoadBalancer: &v1alpha1.LoadBalancer{ConsistentHash: &h}}
		p := policyOf("a", &discovery.Service{Policy: set}, servicePort)
		return &p
	}
	request := Caller{Cluster: "a", Address: "10.0.0.1:1", Affinity: Affinity("user")}
	connection := Caller{Cluster: "a", Address: "10.0.0.1:2"}
	header, source := by(v1alpha1.ConsistentHash{HTTPHeaderName: "x"}), by(v1alpha1.ConsistentHash{UseSourceIP: true})
	if got := header.affinity(&request); got != request.Affinity {
		t.Errorf("a request has affinity %x", got)
	}
	if got := header.affinity(&connection); got != 0 {
		t.Errorf("a connection has affinity %x by a header", got)
	}
	connection.ClusterSet = true
	if got := source.affinity(&connection); got == 0 || got != source.affinity(&Caller{Cluster: "a", Address: "10.0.0.1:3"}) {
		t.Errorf("a connection has affinity %x by its address", got)
	}
	ttl := &metav1.Duration{}
	key := by(v1alpha1.ConsistentHash{HTTPCookie: &v1alpha1.HTTPCookie{Name: "c", Path: "/p", TTL: ttl}}).requests.HashKey
	if key.Cookie != "c" || key.CookiePath != "/p" || key.CookieTTL == nil || *key.CookieTTL != 0 {
		t.Errorf("%+v", key)
	}
}

// A peer's part of the keys is that of its endpoints.
func TestHashByEndpoints(t *testing.T) {
	t.Parallel()
	tw := newTown(everywhere("")).local(here, 1).peer("far", abroad, abroad, abroad)
	tw.apply()
	got := make(map[string]int)
	for i := range 2000 {
		at := tw.calls(Caller{Cluster: "here", Locality: here, Affinity: Affinity(fmt.Sprint(i))}, 2)
		for k := range at {
			got[k]++
		}
	}
	near(t, "keys", got, map[string]int{"10.0.0.0:80": 500, "far": 1500}, 60)
}
