package view

import (
	"net/netip"
	"testing"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/admin"
)

// Of a service of which some ports are closed, these are named.
func TestRefusedPorts(t *testing.T) {
	t.Parallel()
	s := admin.ServiceStatus{
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
		Ports: []discovery.ServicePort{
			{Port: 80, Protocol: discovery.TCP}, {Port: 81, Protocol: discovery.TCP}, {Port: 53, Protocol: discovery.UDP},
		},
	}
	for _, c := range []struct {
		vacant []string
		want   string
	}{
		{nil, "10.0.0.1"},
		{[]string{"10.0.0.1:80"}, "10.0.0.1(refused: 80)"},
		{[]string{"10.0.0.1:80", "10.0.0.1:81"}, "10.0.0.1(refused)"},
		{[]string{"[::]:20007"}, "10.0.0.1(refused)"}, // of a derived Service
	} {
		s.Vacant = nil
		for _, at := range c.vacant {
			s.Vacant = append(s.Vacant, netip.MustParseAddrPort(at))
		}
		if got := addresses(&s); got != c.want {
			t.Errorf("%q: %s, want %s", c.vacant, got, c.want)
		}
	}
}
