package failover

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/hashtrie"
)

func TestUnknownPlaces(t *testing.T) {
	t.Parallel()
	own := discovery.Locality{Region: "home", Zone: "home-a"}
	distribute := func(to ...string) *v1alpha1.LoadBalancer {
		d := v1alpha1.LocalityDistribute{From: "home", To: map[string]uint32{}}
		for _, at := range to {
			d.To[at] = 1
		}
		return &v1alpha1.LoadBalancer{LocalityLbSetting: &v1alpha1.LocalityLbSetting{Distribute: []v1alpha1.LocalityDistribute{d}}}
	}
	failover := func(to string) *v1alpha1.LoadBalancer {
		return &v1alpha1.LoadBalancer{LocalityLbSetting: &v1alpha1.LocalityLbSetting{
			Failover: []v1alpha1.LocalityFailover{{From: "home", To: to}},
		}}
	}
	for name, c := range map[string]struct {
		policy v1alpha1.TrafficPolicySpec
		want   []string // field and locality
	}{
		"own, an endpoint's, a node's, a peer's": {
			policy: v1alpha1.TrafficPolicySpec{LoadBalancer: distribute("home", "home/home-a/*", "pods/*", "nodes", "away/away-a", "*")},
		},
		"zone": {
			policy: v1alpha1.TrafficPolicySpec{LoadBalancer: distribute("home", "away/away-b")},
			want:   []string{`"away/away-b" in spec.loadBalancer.localityLbSetting.distribute[0].to`},
		},
		"region": {
			policy: v1alpha1.TrafficPolicySpec{LoadBalancer: failover("nowhere")},
			want:   []string{`"nowhere" in spec.loadBalancer.localityLbSetting.failover[0].to`},
		},
		"callers": {
			policy: v1alpha1.TrafficPolicySpec{LoadBalancer: &v1alpha1.LoadBalancer{LocalityLbSetting: &v1alpha1.LocalityLbSetting{
				Distribute: []v1alpha1.LocalityDistribute{
					{From: "hone/*", To: map[string]uint32{"home": 100}}, {From: "callers/callers-a", To: map[string]uint32{"home": 100}},
				},
				Failover: []v1alpha1.LocalityFailover{{From: "hime", To: "away"}},
			}}},
			want: []string{
				`"hime" in spec.loadBalancer.localityLbSetting.failover[0].from`,
				`"hone/*" in spec.loadBalancer.localityLbSetting.distribute[0].from`,
			},
		},
		"port": {
			policy: v1alpha1.TrafficPolicySpec{PortLevelSettings: []v1alpha1.PortSettings{{}, {LoadBalancer: distribute("nothing")}}},
			want:   []string{`"nothing" in spec.portLevelSettings[1].loadBalancer.localityLbSetting.distribute[0].to`},
		},
		"nothing": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &discovery.Snapshot{
				Networks: []discovery.Network{{Locality: discovery.Locality{Region: "nodes"}}},
				Peers:    map[string]*discovery.Peer{"callers": {Spec: v1alpha1.PeerSpec{Localities: []string{"callers"}}}},
			}
			s.Localities = s.Localities.With(netip.MustParseAddr("10.0.0.1"), discovery.Locality{Region: "pods", Zone: "pods-a"})
			for _, service := range []string{"b", "a"} { // they share a policy
				s.Services = with(s.Services, &discovery.Service{
					Name: discovery.ServiceName{Namespace: "shop", Name: service}, Policy: &c.policy,
					Peers: []discovery.PeerExport{{Readiness: []discovery.Readiness{{Locality: discovery.Locality{Region: "away", Zone: "away-a"}}}}},
				})
			}
			got := unknownPlaces(s, own)
			if len(got) != len(c.want) {
				t.Fatalf("got %q", got)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], "service shop/a: ") || !strings.Contains(got[i], c.want[i]) {
					t.Errorf("got %q, want %q", got[i], c.want[i])
				}
			}
		})
	}
}

func with(m hashtrie.Map[discovery.ServiceName, *discovery.Service], s *discovery.Service) hashtrie.Map[discovery.ServiceName, *discovery.Service] {
	return m.With(s.Name, s)
}

// TestManyUnknownPlaces: the list is bounded.
func TestManyUnknownPlaces(t *testing.T) {
	t.Parallel()
	var s discovery.Snapshot
	for i := range 3 * maxUnknown {
		s.Services = with(s.Services, &discovery.Service{
			Name: discovery.ServiceName{Namespace: "shop", Name: fmt.Sprint(i)},
			Policy: &v1alpha1.TrafficPolicySpec{LoadBalancer: &v1alpha1.LoadBalancer{LocalityLbSetting: &v1alpha1.LocalityLbSetting{
				Failover: []v1alpha1.LocalityFailover{{From: "home", To: "nowhere"}},
			}}},
		})
	}
	got := unknownPlaces(&s, discovery.Locality{Region: "home"})
	if len(got) != maxUnknown+1 || !slices.Contains(got, "32 more localities in TrafficPolicies where nothing is") {
		t.Errorf("got %q", got)
	}
	if got := unknownPlaces(nil, discovery.Locality{}); got != nil {
		t.Errorf("before the first catalog: %q", got)
	}
}
