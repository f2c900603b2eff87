package balance

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/eastway/eastway/discovery"
)

// What keeps calls from endpoints is listed by port, each with one of them, and not without end.
func TestProblems(t *testing.T) {
	t.Parallel()
	tb := &Table{groups: map[Key]*group{}}
	add := func(name string, port uint16) *group {
		k := Key{Service: discovery.ServiceName{Namespace: "shop", Name: name}, Port: port}
		g := newGroup(k, policyOf("here", &discovery.Service{}, port), &heard{}, func() int { return 1 })
		g.apply("here", &discovery.Service{Endpoints: map[uint16][]discovery.Endpoint{port: {
			{Address: netip.MustParseAddrPort("10.0.0.1:80"), Ready: true}, {Address: netip.MustParseAddrPort("10.0.0.2:80"), Ready: true},
		}}}, g.policyNow())
		tb.groups[k] = g
		return g
	}
	eject := func(g *group, address string) {
		at := g.targets[Address{Endpoint: netip.MustParseAddrPort(address)}]
		at.state, at.kind = Ejected, LocalFailure
	}
	add("well", 80)
	if got := tb.Problems(); len(got) > 0 {
		t.Errorf("%q", got)
	}
	eject(add("cart", 80), "10.0.0.2:80")
	add("cart", 443).vacancy = vacant
	want := []string{
		"service shop/cart, port 80: 1 of 2 endpoints and peers ejected, such as 10.0.0.2:80 (local); 'eastway endpoints' shows all",
		"service shop/cart, port 443: no endpoint or peer takes connections, as probes find: callers are refused until one does; " +
			"'eastway endpoints' shows all",
	}
	if got := tb.Problems(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for i := range maxProblems {
		eject(add(fmt.Sprintf("more-%d", i), 80), "10.0.0.1:80")
	}
	if got := tb.Problems(); len(got) != maxProblems+1 || got[maxProblems] != "2 more ports with ejected endpoints or peers" {
		t.Errorf("%d: %q", len(got), got[len(got)-1])
	}
}
