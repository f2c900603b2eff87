package steer

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/eastway/eastway/internal/dns/judge"
)

// entry makes one of addresses such as "192.0.2.1" (in), "-192.0.2.1" (out), "!192.0.2.1" (dead).
func entry(region string, weight int, addrs ...string) Entry {
	e := Entry{Region: region, Weight: weight}
	for _, text := range addrs {
		at := judge.Address{In: true, MayLive: true, Passing: true, Judged: true}
		if bare, out := strings.CutPrefix(text, "-"); out {
			text, at.In, at.Passing = bare, false, false
		} else if bare, dead := strings.CutPrefix(text, "!"); dead {
			text, at.In, at.Passing, at.MayLive = bare, false, false, false
		}
		at.Addr = netip.MustParseAddr(text)
		e.Addresses = append(e.Addresses, at)
	}
	return e
}

func first(int) int { return 0 }

func TestChoose(t *testing.T) {
	t.Parallel()
	const a, b, c = "192.0.2.1", "192.0.2.2", "192.0.2.3"
	tests := []struct {
		name     string
		strategy Strategy
		entries  []Entry
		region   string
		want     string // sorted
		panic    bool
	}{
		{"all", RoundRobin, []Entry{entry("eu", 1, a), entry("us", 1, b, c)}, "", a + " " + b + " " + c, false},
		{"without what is out", RoundRobin, []Entry{entry("eu", 1, "-"+a), entry("us", 1, b, "-"+c)}, "", b, false},
		{"shared address", RoundRobin, []Entry{entry("eu", 1, a), entry("us", 1, a)}, "", a, false},
		{"out at one entry, in at another", RoundRobin, []Entry{entry("eu", 1, "-"+a), entry("us", 1, a)}, "", a, false},
		{"first", Failover, []Entry{entry("eu", 1, a), entry("us", 1, b)}, "us", a, false},
		{"second", Failover, []Entry{entry("eu", 1, "-"+a), entry("us", 1, b)}, "", b, false},
		{"part of the first", Failover, []Entry{entry("eu", 1, "-"+a, b), entry("us", 1, c)}, "", b, false},
		{"own region", Geo, []Entry{entry("eu", 1, a), entry("us", 1, b)}, "us", b, false},
		{"own region is out", Geo, []Entry{entry("eu", 1, a), entry("us", 1, "-"+b)}, "us", a, false},
		{"no region", Geo, []Entry{entry("eu", 1, a), entry("", 1, b)}, "", a + " " + b, false},
		{"another region", Geo, []Entry{entry("eu", 1, a), entry("us", 1, b)}, "cn", a + " " + b, false},
		{"weight 0", Weighted, []Entry{entry("eu", 0, a), entry("us", 1, b)}, "", b, false},
		{"weight 0 alone is left", Weighted, []Entry{entry("eu", 0, a), entry("us", 1, "-"+b)}, "", a, false},
		{"panic", Failover, []Entry{entry("eu", 1, "-"+a), entry("us", 1, "-"+b)}, "", a + " " + b, true},
		{"panic without the dead", RoundRobin, []Entry{entry("eu", 1, "!"+a), entry("us", 1, "-"+b)}, "", b, true},
		{"panic with all dead", Geo, []Entry{entry("eu", 1, "!"+a), entry("us", 1, "!"+b)}, "eu", a + " " + b, true},
		{"nothing", RoundRobin, []Entry{entry("eu", 1)}, "", "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := New(tt.strategy, tt.entries).Choose(IPv4, tt.region, first)
			if text := joined(got.Addresses, true); text != tt.want || got.Panic != tt.panic {
				t.Errorf("%s (panic %t), want %s (panic %t)", text, got.Panic, tt.want, tt.panic)
			}
		})
	}
}

func joined(addrs []netip.Addr, sorted bool) string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	if sorted {
		slices.Sort(out)
	}
	return strings.Join(out, " ")
}

// What the data plane says weighs more than the probe; equals are shuffled.
func TestPanicOrder(t *testing.T) {
	t.Parallel()
	const can, unknown, cannot = judge.CanServe, judge.Unknown, judge.CannotServe
	e := Entry{}
	for i, at := range []struct {
		verdict judge.Verdict
		passing bool
	}{{cannot, true}, {unknown, false}, {unknown, true}, {can, false}, {can, true}, {can, false}} {
		addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		e.Addresses = append(e.Addresses, judge.Address{Addr: addr, MayLive: true, Judged: true, Verdict: at.verdict, Passing: at.passing})
	}
	got := map[string]bool{}
	for i := range 20 {
		got[joined(New(Failover, []Entry{e}).Choose(IPv4, "", func(n int) int { return (i * 7 / n) % n }).Addresses, false)] = true
	}
	for _, want := range []string{"3 192.0.2.5", "5 192.0.2.3"} {
		if want = "192.0.2.4 192.0.2." + want + " 192.0.2.2 192.0.2.1 192.0.2.0"; !got[want] {
			t.Errorf("not %s: %v", want, got)
		}
	}
	if len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// Each family is chosen on its own: that an entry serves the one says nothing of the other.
func TestFamilies(t *testing.T) {
	t.Parallel()
	const a, b, a6, b6 = "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"
	for _, tt := range []struct {
		name           string
		strategy       Strategy
		entries        []Entry
		want, want6    string
		panic4, panic6 bool
	}{
		{"the first entry has no IPv6", Failover, []Entry{entry("eu", 1, a), entry("us", 1, b, b6)}, a, b6, false, false},
		{"its IPv6 is out", Failover, []Entry{entry("eu", 1, a, "-"+a6), entry("us", 1, b, b6)}, a, b6, false, false},
		{"all IPv6 is out", RoundRobin, []Entry{entry("eu", 1, a, "-"+a6), entry("us", 1, "-"+b, "-"+b6)}, a, a6 + " " + b6, false, true},
		{"weight", Weighted, []Entry{entry("eu", 1, a), entry("us", 0, b, b6)}, a, b6, false, false},
		{"region", Geo, []Entry{entry("eu", 1, a), entry("us", 1, b6)}, a, b6, false, false},
		{"no IPv6", RoundRobin, []Entry{entry("eu", 1, "-"+a)}, a, "", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := New(tt.strategy, tt.entries)
			got, got6 := joined(c.Choose(IPv4, "eu", first).Addresses, true), joined(c.Choose(IPv6, "eu", first).Addresses, true)
			if got != tt.want || got6 != tt.want6 {
				t.Errorf("%s and %s, want %s and %s", got, got6, tt.want, tt.want6)
			}
			if p := c.Panic(); slices.Contains(p, IPv4) != tt.panic4 || slices.Contains(p, IPv6) != tt.panic6 || c.Empty() {
				t.Errorf("panic %v", p)
			}
		})
	}
}

func TestWeights(t *testing.T) {
	t.Parallel()
	c := New(Weighted, []Entry{entry("", 3, "192.0.2.1"), entry("", 0, "192.0.2.2"), entry("", 1, "192.0.2.3")})
	got := map[string]int{}
	for i := range 4 {
		got[joined(c.Choose(IPv4, "", func(n int) int { return i % n }).Addresses, false)]++
	}
	if got["192.0.2.1"] != 3 || got["192.0.2.2"] != 0 || got["192.0.2.3"] != 1 {
		t.Errorf("%v", got)
	}
}

func TestRoundRobinTurns(t *testing.T) {
	t.Parallel()
	c := New(RoundRobin, []Entry{entry("", 1, "192.0.2.1", "192.0.2.2", "192.0.2.3")})
	got := map[string]bool{}
	for i := range 6 {
		got[joined(c.Choose(IPv4, "", func(n int) int { return (i / (4 - n)) % n }).Addresses, false)] = true
	}
	if len(got) < 4 {
		t.Errorf("only the orders %v", got)
	}
}

func TestRegion(t *testing.T) {
	t.Parallel()
	table := NewTable([]Place{
		{netip.MustParsePrefix("10.0.0.0/8"), "eu"},
		{netip.MustParsePrefix("10.1.0.0/16"), "us"},
		{netip.MustParsePrefix("2001:db8::/32"), "cn"},
	})
	for client, want := range map[string]Place{
		"10.2.3.0/24":          {netip.MustParsePrefix("10.2.0.0/15"), "eu"}, // of 10.1 it differs in the 15th bit
		"10.128.0.0/24":        {netip.MustParsePrefix("10.128.0.0/9"), "eu"},
		"10.0.0.0/24":          {netip.MustParsePrefix("10.0.0.0/16"), "eu"},
		"10.1.9.0/24":          {netip.MustParsePrefix("10.1.0.0/16"), "us"},
		"10.0.0.0/8":           {netip.MustParsePrefix("10.0.0.0/16"), "eu"}, // too little to tell: 10.1 lies within
		"192.0.2.1/32":         {netip.MustParsePrefix("128.0.0.0/1"), ""},
		"11.0.0.0/24":          {netip.MustParsePrefix("11.0.0.0/8"), ""},
		"2001:db8:1::/48":      {netip.MustParsePrefix("2001:db8::/32"), "cn"},
		"fe80::/64":            {netip.MustParsePrefix("8000::/1"), ""},
		"2001:db9::/32":        {netip.MustParsePrefix("2001:db9::/32"), ""},
		"2001:db8:ffff::7/128": {netip.MustParsePrefix("2001:db8::/32"), "cn"},
	} {
		p := netip.MustParsePrefix(client)
		region, scope := table.Region(p)
		if region != want.Region || scope != want.Prefix.Bits() {
			t.Errorf("%s: region %q, scope %d, want %q, %d", client, region, scope, want.Region, want.Prefix.Bits())
		}
	}
	if region, scope := NewTable(nil).Region(netip.MustParsePrefix("10.0.0.0/8")); region != "" || scope != 0 {
		t.Errorf("an empty table: %q, %d", region, scope)
	}
	if region, scope := table.Region(netip.Prefix{}); region != "" || scope != 0 {
		t.Errorf("no client: %q, %d", region, scope)
	}
}

// The table says the same as a look at each place, and the result is the same for all clients within the scope.
func TestRegionOfManyPlaces(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	prefix := func(most int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(rng.IntN(256)), byte(rng.IntN(4)) << 6}), rng.IntN(most+1)).Masked()
	}
	for range 2_000 {
		var places []Place
		seen := map[netip.Prefix]bool{}
		for range rng.IntN(12) {
			if p := prefix(10); !seen[p] {
				seen[p] = true
				places = append(places, Place{p, strconv.Itoa(rng.IntN(3) + 1)})
			}
		}
		table := NewTable(places)
		for range 30 {
			client := prefix(11)
			region, scope := table.Region(client)
			want, wantScope := slowRegion(places, client)
			if region != want || scope != wantScope {
				t.Fatalf("%v in %v: %q, scope %d, want %q, scope %d", client, places, region, scope, want, wantScope)
			}
		}
	}
}

// slowRegion looks at all places.
func slowRegion(places []Place, client netip.Prefix) (region string, scope int) {
	longest := -1
	for _, p := range places {
		if n := p.Prefix.Bits(); n <= client.Bits() && n > longest && p.Prefix.Contains(client.Addr()) {
			region, longest = p.Region, n
		}
	}
	scope = max(longest, 0)
	for _, p := range places {
		switch common := commonBits(p.Prefix.Addr(), client.Addr()); {
		case common >= client.Bits():
			scope = max(scope, p.Prefix.Bits())
		default:
			scope = max(scope, min(common+1, p.Prefix.Bits()))
		}
	}
	return region, scope
}

func BenchmarkRegion(b *testing.B) {
	var places []Place
	for i := range 4096 {
		places = append(places, Place{netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(10 + i>>8), byte(i)}), 16), "eu"})
	}
	table := NewTable(places)
	for b.Loop() {
		table.Region(netip.MustParsePrefix("203.0.113.4/32"))
	}
}
