package listen

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/eastway/eastway/discovery"
)

func claimant(name string, listeners ...discovery.Listener) *discovery.Service {
	return &discovery.Service{Name: discovery.ServiceName{Namespace: "shop", Name: name}, Listeners: listeners}
}

func snapshotOf(services ...*discovery.Service) *discovery.Snapshot {
	s := &discovery.Snapshot{}
	for _, svc := range services {
		s.Services = s.Services.With(svc.Name, svc)
	}
	return s
}

func TestClaims(t *testing.T) {
	t.Parallel()
	one, two := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.2:80")
	mapped := netip.AddrPortFrom(netip.AddrFrom16(one.Addr().As16()), 80) // IPv4 in IPv6
	at := func(a netip.AddrPort) discovery.Listener { return discovery.Listener{Address: a, Port: 80} }
	c := claims{at: make(map[netip.AddrPort][]Binding)}
	for _, step := range []struct {
		what     string
		services []*discovery.Service
		touched  []netip.AddrPort
		claimed  map[netip.AddrPort]string
	}{
		{"nothing", nil, nil, map[netip.AddrPort]string{}},
		{
			"the first",
			[]*discovery.Service{claimant("b", at(one), at(two))},
			[]netip.AddrPort{one, two},
			map[netip.AddrPort]string{one: "b", two: "b"},
		},
		{
			"the same again, and one that wants an address too",
			[]*discovery.Service{claimant("b", at(one), at(two)), claimant("a", at(one), at(mapped))},
			[]netip.AddrPort{one},
			map[netip.AddrPort]string{one: "ab", two: "b"},
		},
		{
			"one wants less",
			[]*discovery.Service{claimant("b", at(two)), claimant("a", at(one))},
			[]netip.AddrPort{one},
			map[netip.AddrPort]string{one: "a", two: "b"},
		},
		{"one is gone", []*discovery.Service{claimant("a", at(one))}, []netip.AddrPort{two}, map[netip.AddrPort]string{one: "a"}},
		{"all are", nil, []netip.AddrPort{one}, map[netip.AddrPort]string{}},
	} {
		addresses, _ := c.follow(snapshotOf(step.services...))
		touched := slices.SortedFunc(maps.Keys(addresses), netip.AddrPort.Compare)
		got := make(map[netip.AddrPort]string)
		for a, claimed := range c.at {
			for _, b := range claimed {
				got[a] += b.Service.Name
			}
		}
		// Where nothing changes in the end it does not matter whether an address is looked at.
		for _, a := range step.touched {
			if !slices.Contains(touched, a) {
				t.Errorf("%s: %v is not looked at", step.what, a)
			}
		}
		if !reflect.DeepEqual(got, step.claimed) {
			t.Errorf("%s: %v, want %v", step.what, got, step.claimed)
		}
	}
}

// A change of one service takes the same memory however many others there are.
func TestClaimsAllocateWhatChanges(t *testing.T) {
	work := func(services int) float64 {
		var all []*discovery.Service
		for i := range services {
			at := netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(i))
			all = append(all, claimant(strconv.Itoa(i), discovery.Listener{Address: at, Port: 80}))
		}
		without := snapshotOf(all[1:]...)
		with := &discovery.Snapshot{Services: without.Services.With(all[0].Name, all[0])}
		c := claims{at: make(map[netip.AddrPort][]Binding)}
		c.follow(without)
		return testing.AllocsPerRun(10, func() {
			c.follow(with)
			c.follow(without)
		})
	}
	if few, many := work(10), work(10_000); many > few {
		t.Errorf("%v allocations with 10 services, %v with 10,000", few, many)
	}
}
