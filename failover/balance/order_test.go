package balance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/hashtrie"
)

// straight takes the first of all choices, and lets everything that ramps up stand in its place.
var straight = random{intN: func(n int) int { return n - 1 }, float64: func() float64 { return 0 }}

func opt(name string, r rank) Candidate {
	return Candidate{Address: Address{Peer: name}, place: place{rank: r, endpoints: 1}, share: 1}
}

// order is the order without weights or affinity.
func order(candidates []Candidate, rnd random) []Candidate {
	by := choice{random: rnd}
	return by.order(candidates)
}

func names(candidates []Candidate) string {
	var out []string
	for i := range candidates {
		out = append(out, candidates[i].Peer)
	}
	return strings.Join(out, " ")
}

func TestOrder(t *testing.T) {
	t.Parallel()
	zone, region, other := rank{level: levelZone}, rank{level: levelRegion}, rank{level: levelRegion, sub: 1}
	near, nearer := rank{level: levelNear, sub: 1}, rank{level: levelNear}
	with := func(o Candidate, change func(*Candidate)) Candidate { change(&o); return o }
	last := func(o *Candidate) { o.last = true }
	leaving := func(o *Candidate) { o.terminating = true }
	tests := map[string]struct {
		in    []Candidate
		float float64
		want  string
	}{
		"none": {},
		"levels": {
			in: []Candidate{
				opt("far", rank{level: levelFar, name: "far"}), opt("near", near), opt("region", region),
				opt("other", other), opt("nearer", nearer), opt("zone", zone),
			},
			want: "zone region other nearer near far",
		},
		"far: policy, then round trip, then name": {
			in: []Candidate{
				opt("d", rank{level: levelFar, sub: 1, rtt: 50 * time.Millisecond, name: "d"}),
				opt("c", rank{level: levelFar, sub: 1, rtt: 50 * time.Millisecond, name: "c"}),
				opt("b", rank{level: levelFar, sub: 1, rtt: 10 * time.Millisecond, name: "b"}),
				opt("a", rank{level: levelFar, sub: 0, rtt: 90 * time.Millisecond, name: "a"}),
			},
			want: "a b c d",
		},
		"load inside a level": {
			in:   []Candidate{with(opt("busy", zone), func(o *Candidate) { o.load = 3 }), opt("idle", zone), opt("region", region)},
			want: "idle busy region",
		},
		"last resorts come last": {
			in:   []Candidate{with(opt("zone", zone), last), with(opt("region", region), last), opt("far", rank{level: levelFar})},
			want: "far zone region",
		},
		"nothing but last resorts": {
			in:   []Candidate{with(opt("region", region), last), with(opt("zone", zone), last)},
			want: "zone region",
		},
		"terminating: behind what is ready anywhere, before last resorts": {
			in: []Candidate{
				with(opt("ejected", zone), last), with(opt("leaving", zone), leaving), with(opt("far-leaving", rank{level: levelFar}), leaving),
				opt("far", rank{level: levelFar}),
			},
			want: "far leaving far-leaving ejected",
		},
		"terminating and ejected": {
			in:   []Candidate{with(with(opt("zone", zone), leaving), last), with(opt("region", region), leaving)},
			want: "region zone",
		},
		"ramping, its turn": {
			in:    []Candidate{with(opt("zone", zone), func(o *Candidate) { o.share = 0.5 }), opt("far", rank{level: levelFar})},
			float: 0.49, want: "zone far",
		},
		"ramping, not its turn: behind the next level, before last resorts": {
			in: []Candidate{
				with(opt("zone", zone), func(o *Candidate) { o.share = 0.5 }), opt("far", rank{level: levelFar}),
				with(opt("ejected", zone), last),
			},
			float: 0.51, want: "far zone ejected",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rnd := straight
			rnd.float64 = func() float64 { return tt.float }
			if got := names(order(tt.in, rnd)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestOrderKeepsAll: whatever the choices, no Candidate is lost, doubled or moved to another level.
func TestOrderKeepsAll(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var in []Candidate
		for i := range rnd.IntN(MaxPerLevel) {
			o := opt(fmt.Sprint(i), rank{level: rnd.IntN(4)})
			o.load, o.last = float64(rnd.IntN(3)), rnd.IntN(4) == 0
			in = append(in, o)
		}
		out := order(in, random{intN: rnd.IntN, float64: rnd.Float64})
		seen := make(map[string]bool)
		for i, o := range out {
			seen[o.Peer] = true
			if i > 0 && out[i-1].last == o.last && out[i-1].place.rank.level > o.place.rank.level || i > 0 && out[i-1].last && !o.last {
				t.Fatalf("level %d after %d", o.place.rank.level, out[i-1].place.rank.level)
			}
		}
		if len(seen) != len(in) || len(out) != len(in) {
			t.Fatalf("%d of %d candidates", len(out), len(in))
		}
	}
}

func TestOrderBoundsALevel(t *testing.T) {
	t.Parallel()
	var in []Candidate
	for i := range 10 * MaxPerLevel {
		in = append(in, opt(fmt.Sprint(i), rank{}))
	}
	in = append(in, opt("far", rank{level: levelFar}))
	out := order(in, straight)
	if len(out) != MaxPerLevel+1 || out[MaxPerLevel].Peer != "far" {
		t.Errorf("%d candidates", len(out))
	}
}

// TestTwoChoices: the most loaded of a level is never first, others share.
func TestTwoChoices(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	first := make(map[string]int)
	for range 10000 {
		var in []Candidate
		for i := range 4 {
			o := opt(fmt.Sprint(i), rank{})
			o.load, o.request = float64(i), true
			in = append(in, o)
		}
		first[order(in, random{intN: rnd.IntN, float64: rnd.Float64})[0].Peer]++
	}
	// Of the 6 pairs, "0" wins 3, "1" 2, "2" 1.
	if first["3"] != 0 || first["0"] < 4700 || first["0"] > 5300 || first["2"] < 1400 || first["2"] > 1950 {
		t.Errorf("first: %v", first)
	}
}

// TestEvenLoad: of two endpoints the one with a connection more gets half of the next ones; requests go to the other one.
func TestEvenLoad(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		busy, other float64
		endpoints   int // of each
		request     bool
		refusing    float64
		want        float64 // share of the busy one
	}{
		{name: "one connection", busy: 1, endpoints: 1, want: 0.5},
		{name: "one more", busy: 8, other: 7, endpoints: 1, want: 0.5},
		{name: "two more", busy: 2, endpoints: 1, want: 0},
		{name: "a tenth more", busy: 33, other: 30, endpoints: 1, want: 0.5},
		{name: "more than a tenth", busy: 34, other: 30, endpoints: 1, want: 0},
		{name: "a peer's connection", busy: 0.25, endpoints: 4, want: 0.5},
		{name: "two of a peer", busy: 0.5, endpoints: 4, want: 0.5 * 3 / 7}, // pairs among its own
		{name: "a request", busy: 1, endpoints: 1, request: true, want: 0},
		{name: "refusals", busy: 0, endpoints: 1, refusing: 0.2, want: 0},
	} {
		busy, other := opt("busy", rank{}), opt("other", rank{})
		busy.load, other.load = tt.busy, tt.other
		busy.place.endpoints, other.place.endpoints = tt.endpoints, tt.endpoints
		busy.request, other.request, busy.refusing = tt.request, tt.request, tt.refusing
		by := choice{}
		if got := by.shares([]Candidate{busy, other}); math.Abs(got[0]-tt.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", tt.name, got[0], tt.want)
		}
	}
}

func TestRanks(t *testing.T) {
	t.Parallel()
	set := localities{failover: []v1alpha1.LocalityFailover{
		{From: "cn-hangzhou", To: "ap-northeast-1"}, {From: "other", To: "cn-beijing"}, {From: "cn-hangzhou", To: "cn-shanghai"},
	}}
	at := func(region, zone string) discovery.Locality { return discovery.Locality{Region: region, Zone: zone} }
	for _, tt := range []struct {
		caller, at discovery.Locality
		want       rank
	}{
		{here, here, rank{level: levelZone}},
		{here, beside, rank{level: levelRegion}},
		{here, abroad, rank{level: levelRegion, sub: 1}},
		{here, at("cn-shanghai", ""), rank{level: levelRegion, sub: 2}},
		{here, at("cn-beijing", ""), rank{level: levelRegion, sub: 3}},
		{here, at("", ""), rank{level: levelRegion, sub: 3}},
		{at("", ""), at("", ""), rank{level: levelRegion, sub: 1}},
		{at("r", ""), at("r", ""), rank{level: levelRegion}},
		{at("r1", "z"), at("r2", "z"), rank{level: levelRegion, sub: 1}}, // the zone's name alone says nothing
	} {
		v := set.view(tt.caller, tt.caller)
		if got := v.local(tt.at).rank; got != tt.want {
			t.Errorf("local %v from %v: %+v, want %+v", tt.at, tt.caller, got, tt.want)
		}
	}
	ready := func(ls ...discovery.Locality) *discovery.PeerExport {
		e := &discovery.PeerExport{Peer: "p", Readiness: []discovery.Readiness{
			{Locality: here, Port: 1, Ready: 9}, {Locality: here, Port: servicePort, Ready: 0, Total: 9}, // neither counts
		}}
		for _, l := range ls {
			e.Readiness = append(e.Readiness, discovery.Readiness{Locality: l, Port: servicePort, Ready: 1})
		}
		return e
	}
	leaving := ready()
	leaving.Readiness[1].Terminating = 1
	both := ready(abroad)
	both.Readiness[1].Terminating = 1
	rtt := 52 * time.Millisecond
	fromHere := set.view(here, here)
	far := func(sub int) rank { return rank{level: levelFar, sub: sub, rtt: 50 * time.Millisecond, name: "p"} }
	for _, tt := range []struct {
		e     *discovery.PeerExport
		want  rank
		where discovery.Locality
	}{
		{ready(abroad, here, beside), rank{level: levelNear}, here},
		{ready(abroad, beside), rank{level: levelNear, sub: 1}, beside},
		{ready(abroad), far(0), abroad},
		{leaving, rank{level: levelNear}, here}, // nothing else is left
		{both, far(0), abroad},
		{ready(at("cn-shanghai", "")), far(1), at("cn-shanghai", "")},
		{ready(at("cn-beijing", "x"), at("cn-shanghai", "")), far(1), at("cn-shanghai", "")},
	} {
		if got := fromHere.peer(tt.e, servicePort, tt.e == leaving, rtt); got.rank != tt.want || got.locality != tt.where {
			t.Errorf("peer: %+v at %v, want %+v at %v", got.rank, got.locality, tt.want, tt.where)
		}
	}
	if got := fromHere.peer(ready(abroad), servicePort, false, 0); got.rank.rtt < time.Minute {
		t.Error("a peer that was not measured comes first")
	}
}

func TestCallerLocality(t *testing.T) {
	t.Parallel()
	table := NewTable(Config{Locality: here})
	table.Apply(&discovery.Snapshot{Localities: hashtrie.Of(map[netip.Addr]discovery.Locality{netip.MustParseAddr("10.1.2.3"): abroad})})
	for addr, want := range map[string]discovery.Locality{
		"10.1.2.3": abroad, "::ffff:10.1.2.3": abroad, "10.1.2.4": here,
	} {
		if got := table.Locate(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is at %v", addr, got)
		}
	}
}

func FuzzOrder(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 1, 2, 3, 0xff, 0x80, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		var in []Candidate
		for i, v := range b[:min(len(b), MaxPerLevel)] {
			o := opt(fmt.Sprint(i), rank{level: int(v & 3), sub: int(v >> 2 & 3)})
			o.last, o.load, o.share = v&0x10 != 0, float64(v>>5), float64(v)/255
			in = append(in, o)
		}
		n := 0
		choose := random{
			intN:    func(m int) int { n++; return int(b[n%len(b)]) % m },
			float64: func() float64 { n++; return float64(b[n%len(b)]) / 256 },
		}
		out := order(in, choose)
		if len(out) != len(in) {
			t.Fatalf("%d of %d", len(out), len(in))
		}
		slices.SortFunc(out, func(x, y Candidate) int { return strings.Compare(x.Peer, y.Peer) })
		for i := 1; i < len(out); i++ {
			if out[i].Address == out[i-1].Address {
				t.Fatal("doubled")
			}
		}
	})
}
