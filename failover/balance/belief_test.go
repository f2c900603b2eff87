package balance

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery"
)

func TestBelieve(t *testing.T) {
	t.Parallel()
	type claim struct{ endpoints, proven int }
	for name, tt := range map[string]struct {
		claims []claim // of peers; below 0: so many local endpoints
		want   []int
	}{
		"alone":                       {[]claim{{1_000_000, 0}}, []int{1_000_000}},
		"two that are alike":          {[]claim{{1_000_000, 0}, {1_000_000, 0}}, []int{1_000_000, 1_000_000}},
		"usual differences":           {[]claim{{2, 0}, {8, 0}, {5, 0}}, []int{2, 8, 5}},
		"more than four times":        {[]claim{{3, 0}, {1_000_000, 0}}, []int{3, 12}},
		"proven":                      {[]claim{{3, 0}, {300, 200}}, []int{3, 200}},
		"proven more than it claims":  {[]claim{{3, 0}, {300, 9000}}, []int{3, 300}},
		"proven less":                 {[]claim{{3, 0}, {300, 7}}, []int{3, 12}},
		"two that claim too much":     {[]claim{{1_000_000, 0}, {3, 0}, {1_000_000, 0}}, []int{12, 3, 12}},
		"one claims more than others": {[]claim{{900_000, 0}, {3, 0}, {1_000_000, 0}}, []int{12, 3, 60}},
		"several that claim fewer":    {[]claim{{3, 0}, {4, 0}, {50, 0}, {3, 0}}, []int{3, 4, 40, 3}},
		"own endpoints":               {[]claim{{-1, 0}, {-1, 0}, {50, 0}}, []int{1, 1, 8}},
	} {
		var level []*contender
		for i, c := range tt.claims {
			one := &contender{Candidate: &Candidate{Address: Address{Peer: fmt.Sprint("p", i)}, proven: c.proven}, endpoints: c.endpoints, load: 1}
			if c.endpoints < 0 {
				one.Peer, one.endpoints = "", 1
			}
			level = append(level, one)
		}
		before := make([]int, len(level))
		for i, one := range level {
			before[i] = one.endpoints
		}
		believe(level)
		for i, one := range level {
			if one.endpoints != tt.want[i] || one.load != float64(before[i])/float64(one.endpoints) {
				t.Errorf("%s: %d counts for %d, load %v, want %d", name, before[i], one.endpoints, one.load, tt.want[i])
			}
		}
	}
}

// A peer that claims a million endpoints does not get all calls. A large one has its share as soon as there are calls for it: as many
// calls per endpoint as the small one.
func TestClaimsAndShares(t *testing.T) {
	t.Parallel()
	for _, method := range []method{leastRequest, roundRobin, atRandom} {
		rnd := rand.New(rand.NewPCG(1, 2))
		by := choice{method: method, random: random{intN: rnd.IntN, float64: rnd.Float64}}
		level := []Candidate{opt("honest", rank{level: levelNear}), opt("claims", rank{level: levelNear})}
		level[0].place.endpoints, level[1].place.endpoints = 3, 1_000_000
		got := map[string]int{}
		for range 1_000 {
			first := by.order(level)[0]
			got[first.Peer]++
			if first.turn.counts {
				at := map[string]int{"honest": 0, "claims": 1}[first.Peer]
				level[at].round = first.turn.after(level[at].round)
			}
		}
		if n := got["honest"]; n < 100 || n > 300 {
			t.Errorf("method %d: the honest one gets %d of 1,000 calls", method, n)
		}
	}
}

// The evidence is what is in flight when calls are accepted, or answered well; an ejection takes it away.
func TestProven(t *testing.T) {
	t.Parallel()
	tw := newTown(nil).peer("b", discovery.Locality{Region: "far"})
	tw.apply()
	target := tw.target(Address{Peer: "b"})
	proven := func() int {
		_, h := target.group.health(target.address, time.Now())
		return h.proven
	}
	candidates := func() []Candidate {
		return tw.table.Candidates(Key{Service: echoName, Port: servicePort}, Caller{Cluster: "here", HTTP: true})
	}
	var uses []*Use
	for range 5 {
		uses = append(uses, candidates()[0].Begin())
	}
	if n := proven(); n != 0 {
		t.Errorf("%d proven by calls without an outcome", n)
	}
	uses[0].Accepted()
	if n := proven(); n != 5 {
		t.Errorf("%d proven, with 5 in flight", n)
	}
	for _, u := range uses {
		u.Done(Outcome{})
	}
	one := candidates()[0].Begin()
	one.Answered(200)
	one.Done(Outcome{})
	if n := proven(); n != 5 || candidates()[0].proven != 5 {
		t.Errorf("%d proven after less load", n)
	}
	target.group.mu.Lock()
	target.group.eject(target, ServerError)
	target.group.mu.Unlock()
	if n := proven(); n != 0 {
		t.Errorf("%d proven of an ejected peer", n)
	}
}
