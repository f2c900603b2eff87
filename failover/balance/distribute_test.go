package balance

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/hashtrie"
)

var (
	shanghai  = discovery.Locality{Region: "cn-shanghai", Zone: "cn-shanghai-g"}
	shanghai2 = discovery.Locality{Region: "cn-shanghai", Zone: "cn-shanghai-l"}
)

// town is a service with endpoints and peers at localities, and a table with fixed randomness that has it.
type town struct {
	svc   *discovery.Service
	table *Table
}

func newTown(p *v1alpha1.TrafficPolicySpec) *town {
	tw := new(town)
	tw.svc = benchService(0, p).Services.Get(echoName)
	rnd := rand.New(rand.NewPCG(1, 2))
	tw.table = NewTable(Config{Cluster: "here", Locality: here, Log: zap.NewNop(), Metrics: new(counts), Peers: linked{}})
	tw.table.random = random{intN: rnd.IntN, float64: rnd.Float64}
	return tw
}

// local adds n endpoints of the own cluster.
func (tw *town) local(at discovery.Locality, n int) *town {
	for range n {
		a := localKey(len(tw.svc.Endpoints[servicePort]))
		tw.svc.Endpoints[servicePort] = append(tw.svc.Endpoints[servicePort], endpoint(a.Endpoint, at))
	}
	return tw
}

// peer adds a peer with one ready endpoint at each locality.
func (tw *town) peer(name string, at ...discovery.Locality) *town {
	e := discovery.PeerExport{Peer: name, Ports: tw.svc.Ports}
	for _, l := range at {
		e.Readiness = append(e.Readiness, discovery.Readiness{Locality: l, Port: servicePort, Ready: 1, Total: 1})
	}
	tw.svc.Peers = append(tw.svc.Peers, e)
	return tw
}

// apply brings the table in line with the service as it is now.
func (tw *town) apply() {
	svc := *tw.svc
	svc.Endpoints, svc.Peers = maps.Clone(svc.Endpoints), slices.Clone(svc.Peers)
	tw.table.Apply(&discovery.Snapshot{Services: hashtrie.Of(map[discovery.ServiceName]*discovery.Service{echoName: &svc})})
}

// eject takes a target out until the end of the test.
func (tw *town) eject(a Address) {
	g := tw.table.group(Key{Service: echoName, Port: servicePort})
	g.targets[a].state = Ejected
}

// firsts counts where n calls from a locality go first.
func (tw *town) firsts(from discovery.Locality, n int) map[string]int {
	tw.apply()
	return tw.calls(Caller{Cluster: "here", Locality: from}, n)
}

func (tw *town) calls(from Caller, n int) map[string]int {
	got := make(map[string]int)
	for range n {
		got[tw.table.Candidates(Key{Service: echoName, Port: servicePort}, from)[0].String()]++
	}
	return got
}

func near(t *testing.T, what string, got, want map[string]int, tolerance int) {
	t.Helper()
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if d := got[k] - want[k]; d > tolerance || d < -tolerance {
			t.Errorf("%s: %s has %d calls, want %d±%d", what, k, got[k], want[k], tolerance)
		}
	}
	for k, n := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%s: %s has %d calls, want none", what, k, n)
		}
	}
}

// distribute is a policy with one entry for callers anywhere in the own region.
func distribute(to map[string]uint32, change ...func(*v1alpha1.LocalityLbSetting)) *v1alpha1.TrafficPolicySpec {
	set := &v1alpha1.LocalityLbSetting{Distribute: []v1alpha1.LocalityDistribute{
		{From: "us-west/*", To: map[string]uint32{"us-west": 100}},
		{From: "cn-hangzhou/*", To: to},
	}}
	for _, c := range change {
		c(set)
	}
	return &v1alpha1.TrafficPolicySpec{LoadBalancer: &v1alpha1.LoadBalancer{LocalityLbSetting: set}}
}

func TestDistribute(t *testing.T) {
	t.Parallel()
	const one, two, three = "10.0.0.0:80", "10.0.0.1:80", "10.0.0.2:80"
	ninety := map[string]uint32{"cn-hangzhou/*": 90, "cn-shanghai/*": 10}
	for name, tt := range map[string]struct {
		town  *town
		eject []Address
		from  discovery.Locality
		want  map[string]int
	}{
		"90 to 10": {
			town: newTown(distribute(ninety)).local(here, 1).peer("shanghai", shanghai),
			want: map[string]int{one: 900, "shanghai": 100},
		},
		"a weight is not multiplied by endpoints": {
			town: newTown(distribute(ninety)).local(here, 1).peer("shanghai", shanghai, shanghai, shanghai2),
			want: map[string]int{one: 900, "shanghai": 100},
		},
		"callers elsewhere have no weights": {
			town: newTown(distribute(ninety)).local(here, 1).peer("shanghai", shanghai),
			from: shanghai, want: map[string]int{one: 1000},
		},
		"endpoints of a locality share evenly, in whatever cluster": {
			town: newTown(distribute(ninety)).local(here, 1).local(beside, 1).peer("near", here).peer("shanghai", shanghai),
			want: map[string]int{one: 300, two: 300, "near": 300, "shanghai": 100},
		},
		"a peer shares as all of its endpoints there": {
			town: newTown(distribute(map[string]uint32{"cn-hangzhou/*": 100})).local(here, 1).peer("near", here, here, beside, shanghai),
			want: map[string]int{one: 250, "near": 750},
		},
		"a peer in two localities has a share of both": {
			town: newTown(distribute(map[string]uint32{"cn-hangzhou": 60, "cn-shanghai": 40})).local(here, 1).peer("both", here, shanghai),
			want: map[string]int{one: 300, "both": 700},
		},
		"zones": {
			town: newTown(distribute(map[string]uint32{
				"cn-hangzhou/cn-hangzhou-h/*": 20, "cn-hangzhou/cn-hangzhou-k": 80,
			})).local(here, 1).local(beside, 2),
			want: map[string]int{one: 200, two: 400, three: 400},
		},
		"a locality without weight has nothing": {
			town: newTown(distribute(map[string]uint32{"cn-shanghai/*": 100})).local(here, 1).peer("shanghai", shanghai).peer("abroad", abroad),
			want: map[string]int{"shanghai": 1000},
		},
		"an ejected endpoint's share goes to the others of its locality": {
			town:  newTown(distribute(ninety)).local(here, 2).peer("shanghai", shanghai),
			eject: []Address{localKey(0)}, want: map[string]int{two: 900, "shanghai": 100},
		},
		"a locality that is gone leaves its share by weight": {
			town: newTown(distribute(map[string]uint32{"cn-hangzhou/*": 50, "cn-shanghai/*": 30, "ap-northeast-1/*": 20})).
				local(here, 1).peer("shanghai", shanghai).peer("abroad", abroad),
			eject: []Address{localKey(0)}, want: map[string]int{"shanghai": 600, "abroad": 400},
		},
		"a locality that does not exist leaves its share": {
			town: newTown(distribute(map[string]uint32{"cn-hangzhou/*": 50, "cn-shenzhen/*": 50})).local(here, 1).peer("shanghai", shanghai),
			want: map[string]int{one: 1000},
		},
		"with all weights gone, failover": {
			town: newTown(distribute(ninety, func(l *v1alpha1.LocalityLbSetting) {
				l.Failover = []v1alpha1.LocalityFailover{{From: "cn-hangzhou", To: "ap-northeast-1"}}
			})).local(here, 1).peer("shanghai", shanghai).peer("away", discovery.Locality{Region: "us-west"}).peer("abroad", abroad),
			eject: []Address{localKey(0), {Peer: "shanghai"}}, want: map[string]int{"abroad": 1000},
		},
		"all in any locality": {
			town: newTown(distribute(map[string]uint32{"*": 100})).local(here, 1).peer("abroad", abroad),
			want: map[string]int{one: 500, "abroad": 500},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.from == (discovery.Locality{}) {
				tt.from = here
			}
			tt.town.apply()
			for _, a := range tt.eject {
				tt.town.eject(a)
			}
			near(t, name, tt.town.firsts(tt.from, 1000), tt.want, 30*len(tt.want)/2)
		})
	}
}

// The order has everything: a call that one locality does not take goes on to the others with weight, then to the rest, then to
// what is ejected.
func TestDistributeLosesNothing(t *testing.T) {
	t.Parallel()
	tw := newTown(distribute(map[string]uint32{"cn-hangzhou/*": 90, "cn-shanghai/*": 10})).
		local(here, 2).local(abroad, 1).peer("shanghai", shanghai).peer("abroad", abroad)
	tw.apply()
	tw.eject(localKey(1))
	orders := make(map[string]int)
	for range 1000 {
		var order string
		for _, c := range tw.table.Candidates(Key{Service: echoName, Port: servicePort}, Caller{Cluster: "here", Locality: here}) {
			order += c.String() + " "
		}
		orders[order]++
	}
	near(t, "orders", orders, map[string]int{
		"10.0.0.0:80 shanghai 10.0.0.2:80 abroad 10.0.0.1:80 ": 900,
		"shanghai 10.0.0.0:80 10.0.0.2:80 abroad 10.0.0.1:80 ": 100,
	}, 30)
}

// The exporter's side divides by the caller's real locality.
func TestDistributeForRemoteCallers(t *testing.T) {
	t.Parallel()
	p := distribute(map[string]uint32{"cn-hangzhou/*": 10})
	p.LoadBalancer.LocalityLbSetting.Distribute = append(p.LoadBalancer.LocalityLbSetting.Distribute, v1alpha1.LocalityDistribute{
		From: "cn-shanghai", To: map[string]uint32{"cn-hangzhou/cn-hangzhou-k": 70, "cn-hangzhou/cn-hangzhou-h": 30},
	})
	tw := newTown(p).local(here, 1).local(beside, 1)
	tw.apply()
	got := tw.calls(Caller{Cluster: "shanghai", Locality: shanghai, Remote: true}, 1000)
	near(t, "remote", got, map[string]int{"10.0.0.0:80": 300, "10.0.0.1:80": 700}, 40)
}

// With sessions that stay together each caller stays in its locality, and callers are divided by weight.
func TestDistributeSticky(t *testing.T) {
	t.Parallel()
	tw := newTown(distribute(map[string]uint32{"cn-hangzhou/*": 80, "cn-shanghai/*": 20})).local(here, 2).peer("shanghai", shanghai)
	tw.svc.Spec.SessionAffinity = sessionAffinityClientIP
	tw.apply()
	got := make(map[string]int)
	for i := range 1000 {
		caller := Caller{Cluster: "here", Locality: here, Address: fmt.Sprintf("10.1.%d.%d:1000", i/250, i%250)}
		same := tw.calls(caller, 3)
		if len(same) != 1 {
			t.Fatalf("a caller goes to %v", same)
		}
		for k := range same {
			got[k]++
		}
	}
	near(t, "callers", got, map[string]int{"10.0.0.0:80": 400, "10.0.0.1:80": 400, "shanghai": 200}, 45)
}

func TestLocalityOff(t *testing.T) {
	t.Parallel()
	off := false
	p := distribute(map[string]uint32{"cn-shanghai/*": 100}, func(l *v1alpha1.LocalityLbSetting) { l.Enabled = &off })
	tw := newTown(p).local(here, 1).local(beside, 1).peer("near", here).peer("far", abroad, shanghai)
	near(t, "off", tw.firsts(here, 5000), map[string]int{"10.0.0.0:80": 1000, "10.0.0.1:80": 1000, "near": 1000, "far": 2000}, 120)
}

func TestFailoverPriority(t *testing.T) {
	t.Parallel()
	const region, zone, cluster = v1alpha1.PriorityRegion, v1alpha1.PriorityZone, v1alpha1.PriorityCluster
	for _, tt := range []struct {
		priority []string
		want     []int // levels of: own zone, own region, own elsewhere, peer in the zone, peer in the region, peer elsewhere
	}{
		{nil, []int{0, 1, 1, 2, 2, 3}},
		{[]string{region, zone}, []int{0, 1, 2, 0, 1, 2}},
		{[]string{region}, []int{0, 0, 1, 0, 0, 1}},
		{[]string{zone, region}, []int{0, 2, 2, 0, 2, 2}},
		{[]string{region, zone, cluster}, []int{0, 2, 3, 1, 2, 3}},
		{[]string{cluster}, []int{0, 0, 0, 1, 1, 1}},
	} {
		l := localities{priority: tt.priority}
		v := l.view(here, here)
		var got []int
		for _, at := range []discovery.Locality{here, beside, abroad} {
			got = append(got, v.local(at).rank.level)
		}
		for _, at := range []discovery.Locality{here, beside, abroad} {
			e := &discovery.PeerExport{Peer: "p", Readiness: []discovery.Readiness{{Locality: at, Port: servicePort, Ready: 1}}}
			got = append(got, v.peer(e, servicePort, false, 0).rank.level)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%v: levels %v, want %v", tt.priority, got, tt.want)
		}
	}
}

// Failover orders the regions inside a level, then comes the own cluster.
func TestFailoverPriorityWithFailover(t *testing.T) {
	t.Parallel()
	p := distribute(nil, func(l *v1alpha1.LocalityLbSetting) {
		l.Distribute = nil
		l.FailoverPriority = []string{v1alpha1.PriorityRegion}
		l.Failover = []v1alpha1.LocalityFailover{{From: "cn-hangzhou", To: "cn-shanghai"}}
	})
	tw := newTown(p).local(abroad, 1).peer("abroad", abroad).peer("shanghai", shanghai, here)
	tw.apply()
	at := func() (order []string) {
		for _, c := range tw.table.Candidates(Key{Service: echoName, Port: servicePort}, Caller{Cluster: "here", Locality: here}) {
			order = append(order, c.String())
		}
		return order
	}
	if got, want := at(), []string{"shanghai", "10.0.0.0:80", "abroad"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	tw.svc.Peers[1].Readiness = tw.svc.Peers[1].Readiness[:1] // no longer in the caller's region
	tw.apply()
	if got, want := at(), []string{"shanghai", "10.0.0.0:80", "abroad"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Endpoints shows the levels that callers get.
func TestReportedLevels(t *testing.T) {
	t.Parallel()
	tw := newTown(distribute(map[string]uint32{"cn-shanghai/*": 100})).local(here, 1).local(beside, 1).peer("shanghai", shanghai)
	tw.apply()
	got := make(map[string]int)
	for _, e := range tw.table.Endpoints(echoName) {
		got[e.Address] = e.Level
	}
	if want := map[string]int{"shanghai": 0, "10.0.0.0:80": 1, "10.0.0.1:80": 2}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Weights that are valid for the API and odd for this package lose no candidate.
func FuzzDistribute(f *testing.F) {
	f.Add("cn-hangzhou/*", "cn-shanghai/*", uint32(90), uint32(10))
	f.Add("*", "", uint32(0), uint32(1<<31))
	f.Fuzz(func(t *testing.T, a, b string, wa, wb uint32) {
		tw := newTown(distribute(map[string]uint32{a: wa, b: wb})).local(here, 2).peer("shanghai", shanghai, here).peer("abroad", abroad)
		tw.svc.Endpoints[servicePort][0].Address = netip.MustParseAddrPort("[::1]:1")
		tw.apply()
		if n := len(tw.table.Candidates(Key{Service: echoName, Port: servicePort}, Caller{Cluster: "here", Locality: here})); n != 4 {
			t.Errorf("%d candidates, want 4", n)
		}
	})
}
