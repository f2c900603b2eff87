package balance

import (
	"testing"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// everywhere is a policy with that method, and locality off.
func everywhere(simple string) *v1alpha1.TrafficPolicySpec {
	return &v1alpha1.TrafficPolicySpec{LoadBalancer: &v1alpha1.LoadBalancer{
		Simple: simple, LocalityLbSetting: &v1alpha1.LocalityLbSetting{Enabled: new(bool)},
	}}
}

// begin begins n calls from here one after the other and ends them at once, and counts where they go.
func (tw *town) begin(n int) map[string]int {
	got := make(map[string]int)
	for range n {
		first := tw.table.Candidates(Key{Service: echoName, Port: servicePort}, Caller{Cluster: "here", Locality: here})[0]
		first.Begin().Done(Outcome{})
		got[first.String()]++
	}
	return got
}

func TestRoundRobin(t *testing.T) {
	t.Parallel()
	const one, two = "10.0.0.0:80", "10.0.0.1:80"
	off := func() *town { return newTown(everywhere("ROUND_ROBIN")) }
	for name, tt := range map[string]struct {
		town *town
		want map[string]int
	}{
		"two endpoints":             {off().local(here, 2), map[string]int{one: 500, two: 500}},
		"an endpoint and a peer":    {off().local(here, 1).peer("far", abroad), map[string]int{one: 500, "far": 500}},
		"a peer with three":         {off().local(here, 1).peer("far", abroad, abroad, here), map[string]int{one: 250, "far": 750}},
		"two peers with one to two": {off().peer("a", abroad).peer("b", abroad, abroad), map[string]int{"a": 333, "b": 667}},
		"the nearest only":          {newTown(simple("ROUND_ROBIN")).local(here, 2).local(beside, 1), map[string]int{one: 500, two: 500}},
	} {
		tt.town.apply()
		near(t, name, tt.town.begin(1000), tt.want, 1)
	}
}

// Each round has every endpoint once, however long the calls last.
func TestRoundsAreWhole(t *testing.T) {
	t.Parallel()
	tw := newTown(everywhere("ROUND_ROBIN")).local(here, 3)
	tw.apply()
	for range 20 {
		near(t, "round", tw.begin(3), map[string]int{"10.0.0.0:80": 1, "10.0.0.1:80": 1, "10.0.0.2:80": 1}, 0)
	}
}

func simple(method string) *v1alpha1.TrafficPolicySpec {
	return &v1alpha1.TrafficPolicySpec{LoadBalancer: &v1alpha1.LoadBalancer{Simple: method}}
}

// Callers of different zones have rounds of their own.
func TestRoundsByLevel(t *testing.T) {
	t.Parallel()
	tw := newTown(simple("ROUND_ROBIN")).local(here, 2).local(beside, 2)
	tw.apply()
	got := make(map[string]int)
	for range 500 {
		for _, from := range []discovery.Locality{here, beside, here} {
			first := tw.table.Candidates(Key{Service: echoName, Port: servicePort}, Caller{Cluster: "here", Locality: from})[0]
			first.Begin().Done(Outcome{})
			got[first.String()]++
		}
	}
	near(t, "zones", got, map[string]int{"10.0.0.0:80": 500, "10.0.0.1:80": 500, "10.0.0.2:80": 250, "10.0.0.3:80": 250}, 0)
}

// What is new or was away makes up for a few connections only.
func TestRoundsMissed(t *testing.T) {
	t.Parallel()
	tw := newTown(everywhere("ROUND_ROBIN")).local(here, 2)
	tw.apply()
	tw.begin(1000)
	tw.local(here, 1).apply()
	near(t, "with a new one", tw.begin(300+roundLag), map[string]int{"10.0.0.0:80": 100, "10.0.0.1:80": 100, "10.0.0.2:80": 100 + roundLag}, roundLag)
	g := tw.table.group(Key{Service: echoName, Port: servicePort})
	g.targets[localKey(1)].state = Ejected
	near(t, "without one", tw.begin(1000), map[string]int{"10.0.0.0:80": 500, "10.0.0.2:80": 500}, 2)
	g.targets[localKey(1)].state = OK
	near(t, "with it again", tw.begin(300+roundLag), map[string]int{"10.0.0.0:80": 100, "10.0.0.1:80": 100 + roundLag, "10.0.0.2:80": 100}, roundLag)
}

// Calls that are chosen at one moment, before any of them begins, are made up for.
func TestRoundsAtOneMoment(t *testing.T) {
	t.Parallel()
	tw := newTown(everywhere("ROUND_ROBIN")).local(here, 2)
	tw.apply()
	got := make(map[string]int)
	for range 250 {
		var chosen []Candidate
		for range roundLag {
			chosen = append(chosen, tw.table.Candidates(Key{Service: echoName, Port: servicePort}, Caller{Cluster: "here", Locality: here})[0])
		}
		for _, c := range chosen {
			c.Begin().Done(Outcome{})
			got[c.String()]++
		}
	}
	near(t, "bursts", got, map[string]int{"10.0.0.0:80": 500, "10.0.0.1:80": 500}, roundLag)
}

func TestRandom(t *testing.T) {
	t.Parallel()
	tw := newTown(everywhere("RANDOM")).local(here, 2).peer("far", abroad, abroad)
	tw.apply()
	busy := tw.table.group(Key{Service: echoName, Port: servicePort}).targets[localKey(0)]
	busy.active.Add(100) // does not matter
	near(t, "random", tw.begin(4000), map[string]int{"10.0.0.0:80": 1000, "10.0.0.1:80": 1000, "far": 2000}, 100)
}

func TestLeastRequest(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"", "LEAST_REQUEST", "LEAST_CONN"} {
		tw := newTown(everywhere(method)).local(here, 3).peer("far", abroad, abroad, abroad)
		near(t, method, tw.firsts(here, 6000), map[string]int{"10.0.0.0:80": 1000, "10.0.0.1:80": 1000, "10.0.0.2:80": 1000, "far": 3000}, 120)
		busy := tw.table.group(Key{Service: echoName, Port: servicePort}).targets[localKey(0)]
		busy.active.Add(2)
		// It wins no comparison.
		if n := tw.calls(Caller{Cluster: "here", Locality: here}, 1000)["10.0.0.0:80"]; n != 0 {
			t.Errorf("%s: the busy endpoint has %d calls", method, n)
		}
	}
}
