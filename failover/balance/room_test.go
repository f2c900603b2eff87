package balance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/bubble"
)

// capacityOf is a policy by which each endpoint can have so many calls in flight.
func capacityOf(n uint32) *v1alpha1.TrafficPolicySpec {
	return &v1alpha1.TrafficPolicySpec{Capacity: &v1alpha1.Capacity{MaxInFlightPerEndpoint: n}}
}

// roomy is a snapshot of n own endpoints and peers whose endpoints, as many as given, can each have inFlight calls.
func roomy(n int, p *v1alpha1.TrafficPolicySpec, inFlight uint32, ready map[string]uint32) *discovery.Snapshot {
	var names []string
	for _, name := range []string{"a", "b"} {
		if _, ok := ready[name]; ok {
			names = append(names, name)
		}
	}
	s := benchService(n, p, names...)
	svc := s.Services.Get(echoName)
	for i := range svc.Peers {
		n := ready[svc.Peers[i].Peer]
		svc.Peers[i].Readiness[0] = discovery.Readiness{Locality: abroad, Port: servicePort, Ready: n, Total: n, InFlight: inFlight}
	}
	return s
}

// roomCases are those of levels that are full.
func roomCases() map[string]explainCase {
	zones := func(tw *town) { tw.local(here, 1).local(beside, 1).peer("far", abroad) }
	return map[string]explainCase{
		"room": {policy: capacityOf(3), build: zones, change: map[Address]func(*target){localKey(0): busy(2)}, want: map[string]string{
			"10.0.0.0:80": "100 own zone", "10.0.0.1:80": "0 failover: own region after own zone",
		}},
		"the own zone is full": {policy: capacityOf(3), build: zones, change: map[Address]func(*target){
			localKey(0): busy(3),
		}, want: map[string]string{
			"10.0.0.0:80": "0 full: 3 in flight, more are refused",
			"10.0.0.1:80": "100 failover: own region, nothing nearer serves or has room",
			"far":         "0 failover: peer in region ap-northeast-1 after own region",
		}},
		"all endpoints are full": {policy: capacityOf(3), build: zones, change: map[Address]func(*target){
			localKey(0): busy(3), localKey(1): busy(9),
		}, want: map[string]string{
			"10.0.0.1:80": "0 full: 9 in flight", "far": "100 failover: peer in region ap-northeast-1, nothing nearer serves or has room",
		}},
		"what is new is full": {policy: capacityOf(10), build: zones, change: map[Address]func(*target){
			localKey(0): func(t *target) {
				t.room.Set(1, true, time.Now())
				t.room.Set(10, true, time.Now())
				t.active.Store(4)
			},
		}, want: map[string]string{"10.0.0.0:80": "0 full: 4 in flight, more go elsewhere first", "10.0.0.1:80": "100 failover: own region"}},
	}
}

// calls begins n calls, each at the first candidate that has room, and returns how many of them each place got, and how many nothing.
func (b *bench) calls(n int, c Caller) (at map[string]int, uses []*Use) {
	at = make(map[string]int)
	for range n {
		left, full := WithRoom(b.table.Candidates(b.key, c), nil, nil)
		if full {
			at["refused"]++
			continue
		}
		name := left[0].Peer
		if name == "" {
			name = "own"
		}
		at[name]++
		uses = append(uses, left[0].Begin())
	}
	return at, uses
}

func end(uses []*Use) {
	for _, u := range uses {
		u.Done(Outcome{})
	}
}

func TestSpill(t *testing.T) {
	t.Parallel()
	local, remote := Caller{Cluster: "here", Locality: here}, Caller{Cluster: "x", Locality: abroad, Remote: true}
	type ready = map[string]uint32
	for name, c := range map[string]struct {
		own     int // endpoints
		policy  *v1alpha1.TrafficPolicySpec
		peers   map[string]uint32 // ready endpoints, each with room for 5 calls
		proxies int
		remote  bool
		calls   int
		want    string
		spilled uint64
	}{
		"no capacity":            {own: 1, peers: ready{"a": 1}, calls: 50, want: "own:50"},
		"what fits":              {own: 3, policy: capacityOf(4), peers: ready{"a": 9}, calls: 12, want: "own:12"},
		"the rest goes on":       {own: 3, policy: capacityOf(4), peers: ready{"a": 9}, calls: 20, want: "a:8 own:12", spilled: 8},
		"and on":                 {own: 1, policy: capacityOf(4), peers: ready{"a": 1, "b": 2}, calls: 12, want: "a:5 b:3 own:4", spilled: 8},
		"nothing has room":       {own: 1, policy: capacityOf(4), peers: ready{"a": 1}, calls: 20, want: "a:16 own:4", spilled: 5},
		"nothing else":           {own: 2, policy: capacityOf(3), calls: 9, want: "own:6 refused:3"},
		"a peer's stream":        {own: 2, policy: capacityOf(3), peers: ready{"a": 1}, remote: true, calls: 9, want: "own:6 refused:3"},
		"only a peer":            {peers: ready{"a": 1}, calls: 9, want: "a:9"},
		"shared by two proxies":  {own: 2, policy: capacityOf(4), proxies: 2, peers: ready{"a": 9}, calls: 9, want: "a:5 own:4", spilled: 5},
		"at least one":           {own: 1, policy: capacityOf(1), proxies: 3, calls: 3, want: "own:1 refused:2"},
		"own ones have no bound": {own: 1, peers: ready{"a": 1}, calls: 9, want: "own:9"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := roomy(c.own, c.policy, 5, c.peers)
			s.Proxies = c.proxies
			s.Services.Get(echoName).Export = &discovery.Export{}
			s.Peers = map[string]*discovery.Peer{"x": {Name: "x"}}
			inBubble(t, s, func(b *bench) {
				b.table.cfg.Peers = linked{}
				caller := local
				if c.remote {
					caller = remote
				}
				at, uses := b.calls(c.calls, caller)
				if got := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(at), "map["), "]"); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
				if _, spilled := Capacities(b.table); spilled[b.key] != c.spilled {
					t.Errorf("%v spilled, want %d", spilled, c.spilled)
				}
				end(uses)
				if at, uses := b.calls(1, caller); at["refused"] > 0 {
					t.Error("refused when all have ended")
				} else {
					end(uses)
				}
			})
		})
	}
}

// A key leads all calls to one endpoint; what that has no room for goes to another one.
func TestSpillOfAKey(t *testing.T) {
	t.Parallel()
	inBubble(t, roomy(3, capacityOf(4), 0, nil), func(b *bench) {
		caller := Caller{Cluster: "here", Locality: here, Affinity: 7}
		first := b.table.Candidates(b.key, caller)[0].Address
		at := map[Address]int{}
		for range 6 {
			one := b.table.Candidates(b.key, caller)[0]
			at[one.Address]++
			one.Begin()
		}
		if at[first] != 4 || len(at) != 2 {
			t.Errorf("%v", at)
		}
	})
}

// A region comes back: its capacity is filled over time, and there is never more on an endpoint than it can take.
func TestRoomGrows(t *testing.T) {
	t.Parallel()
	local := Caller{Cluster: "here", Locality: here}
	inBubble(t, roomy(1, capacityOf(10), 100, map[string]uint32{"a": 9}), func(b *bench) {
		b.table.cfg.Peers = linked{}
		want := func(what string, own, a int) {
			t.Helper()
			at, uses := b.calls(500, local)
			if at["own"] != own || at["a"] != a || at["refused"] > 0 {
				t.Errorf("%s: %v, want %d and %d", what, at, own, a)
			}
			end(uses)
		}
		want("one endpoint", 10, 490)
		b.table.Apply(roomy(30, capacityOf(10), 100, map[string]uint32{"a": 9}))
		want("thirty, just now", 39, 461) // a tenth of the new ones' room
		bubble.Pass(5 * time.Second)
		want("halfway", 155, 345) // five on each of the new ones
		bubble.Pass(5 * time.Second)
		want("all of it", 300, 200)
		b.table.Apply(roomy(2, capacityOf(10), 100, map[string]uint32{"a": 9}))
		want("gone at once", 20, 480)
		b.table.Apply(roomy(20, capacityOf(10), 0, nil)) // the peer is gone: what is there serves, though it is new
		at, uses := b.calls(250, local)
		if at["own"] != 200 || at["refused"] != 50 {
			t.Errorf("without the peer: %v", at)
		}
		for i := range 20 {
			if _, target, _ := b.get(localKey(i)); target.active.Load() != 10 {
				t.Errorf("endpoint %d has %d", i, target.active.Load())
			}
		}
		end(uses)
	})
}

// A peer refuses calls for load: it gets fewer, none beyond these for as long as it wants, and all again over time.
func TestPeerThatIsFull(t *testing.T) {
	t.Parallel()
	inBubble(t, roomy(1, capacityOf(10), 10, map[string]uint32{"a": 10}), func(b *bench) {
		b.table.cfg.Peers = linked{}
		local := Caller{Cluster: "here", Locality: here}
		at, uses := b.calls(70, local)
		if at["a"] != 60 {
			t.Fatalf("%v", at)
		}
		uses[69].Done(Outcome{RetryAfter: time.Second, Full: true}) // it has refused one; 59 are there
		uses = uses[:69]
		if at, _ := b.calls(5, local); at["refused"] != 5 {
			t.Errorf("while it is full: %v", at)
		}
		end(uses)
		at, uses = b.calls(70, local)
		if at["own"] != 10 || at["a"] != 53 || at["refused"] != 7 { // nine tenths of 59
			t.Errorf("after that: %v", at)
		}
		end(uses)
		bubble.Pass(time.Second)
		if at, uses = b.calls(120, local); at["refused"] > 0 || at["a"] != 110 { // beyond its room too: it decides itself
			t.Errorf("after what it wanted: %v", at)
		}
		end(uses)
		bubble.Pass(time.Minute)
		for _, c := range capacitiesAt(b) {
			if c.Cluster == "a" && c.Room != 100 {
				t.Errorf("%+v", c)
			}
		}
	})
}

func capacitiesAt(b *bench) []Capacity {
	all, _ := Capacities(b.table)
	return all
}

// A peer that refuses its only call is to get none.
func TestFullPeerIsHeld(t *testing.T) {
	t.Parallel()
	inBubble(t, roomy(0, nil, 10, map[string]uint32{"a": 1, "b": 1}), func(b *bench) {
		b.table.cfg.Peers = linked{}
		caller := Caller{Cluster: "here", Locality: here}
		one := b.table.Candidates(b.key, caller)[0]
		one.Begin().Done(Outcome{RetryAfter: time.Second, Full: true})
		for range 3 {
			if next := b.table.Candidates(b.key, caller)[0]; next.Peer == one.Peer {
				t.Errorf("%s again", next.Peer)
			}
		}
	})
}

// Others fill a peer too: it takes fewer than it declares, and seldom has to refuse the rest.
func TestPeerThatOthersFill(t *testing.T) {
	t.Parallel()
	inBubble(t, roomy(0, nil, 10, map[string]uint32{"a": 100, "b": 100}), func(b *bench) {
		b.table.cfg.Peers = linked{}
		caller := Caller{Cluster: "here", Locality: here}
		first := b.table.Candidates(b.key, caller)[0].Peer
		const takes, lasts, calls = 100, 500, 10_000 // of 1,000; a call in ms; one begins each ms
		var open [lasts]func()
		at, refused, least := 0, 0, takes
		for n := range calls {
			bubble.Pass(time.Millisecond)
			if end := open[n%lasts]; end != nil {
				end()
			}
			left, full := WithRoom(b.table.Candidates(b.key, caller), nil, nil)
			if full {
				t.Fatal("full")
			}
			if left[0].Peer == first && at == takes {
				left[0].Begin().Done(Outcome{RetryAfter: time.Second, Full: true})
				refused++
				left = left[1:]
			}
			u, there := left[0].Begin(), left[0].Peer == first
			if there {
				at++
			}
			if n > 2*lasts {
				least = min(least, at)
			}
			open[n%lasts] = func() {
				if u.Done(Outcome{}); there {
					at--
				}
			}
		}
		if refused > calls/1000 || least < takes*8/10 {
			t.Errorf("%d of %d calls refused, and %d in flight at the least", refused, calls, least)
		}
		for _, end := range open {
			end()
		}
	})
}

// A peer that refuses for another reason, such as a limit of its own, gets none for as long as it wants.
func TestPeerWithoutRoomOfItsOwn(t *testing.T) {
	t.Parallel()
	inBubble(t, roomy(0, nil, 10, map[string]uint32{"a": 9, "b": 9}), func(b *bench) {
		b.table.cfg.Peers = linked{}
		caller := Caller{Cluster: "here", Locality: here}
		one := b.table.Candidates(b.key, caller)[0]
		var uses []*Use
		for range 10 { // else the refusal would be of its only call
			uses = append(uses, one.Begin())
		}
		one.Begin().Done(Outcome{RetryAfter: time.Second})
		end(uses)
		if next := b.table.Candidates(b.key, caller)[0]; next.Peer == one.Peer {
			t.Errorf("%s again", next.Peer)
		}
	})
}

func TestCapacities(t *testing.T) {
	t.Parallel()
	s := roomy(2, capacityOf(10), 7, map[string]uint32{"a": 3})
	s.Proxies = 2
	inBubble(t, s, func(b *bench) {
		b.table.cfg.Peers = linked{}
		_, uses := b.calls(12, Caller{Cluster: "here", Locality: here})
		got := map[string]string{}
		for _, c := range capacitiesAt(b) {
			got[c.Cluster] = fmt.Sprint(c.Service, c.Port, " ", c.InFlight, " of ", c.Room)
		}
		if got["here"] != "shop/echo 8000 10 of 10" || got["a"] != "shop/echo 8000 2 of 10.5" || len(got) != 2 {
			t.Errorf("%q", got)
		}
		end(uses)
	})
}
