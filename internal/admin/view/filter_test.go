package view

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/status"
)

func TestFilter(t *testing.T) {
	t.Parallel()
	service := func(name string, local, of int, peers ...admin.PeerReadiness) admin.ServiceStatus {
		namespace, name, _ := strings.Cut(name, "/")
		return admin.ServiceStatus{Namespace: namespace, Name: name, LocalReady: local, LocalTotal: of, Peers: peers}
	}
	vacant := service("shop/vacant", 0, 0)
	vacant.Vacant = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:80")}
	up := []status.Link{{Replica: "r", State: status.Connected}}
	for _, tt := range []struct {
		name            string
		filter          Filter
		services, peers string
		unknown         string
	}{
		{"all", Filter{}, "shop/cart shop/till shop/vacant pay/db pay/far", "near away odd", ""},
		{"one", Filter{Services: []string{"shop/cart"}}, "shop/cart", "near away odd", ""},
		{"a namespace and another", Filter{Services: []string{"pay/", "shop/cart"}}, "shop/cart pay/db pay/far", "near away odd", ""},
		{"unknown", Filter{Services: []string{"shop/none", "none/"}}, "", "near away odd", "shop/none none/"},
		{"problems", Filter{Problems: true}, "shop/till shop/vacant pay/db pay/far", "away odd", ""},
		{"problems of one", Filter{Services: []string{"shop/cart", "pay/db"}, Problems: true}, "pay/db", "away odd", ""},
	} {
		s := admin.Status{
			Services: []admin.ServiceStatus{
				service("shop/cart", 2, 2, admin.PeerReadiness{Peer: "near", Ready: 1, Total: 1}), service("shop/till", 1, 2), vacant,
				service("pay/db", 1, 1, admin.PeerReadiness{Peer: "near", Ready: 0, Total: 1}),
				service("pay/far", 1, 1, admin.PeerReadiness{Peer: "away", Ready: 1, Total: 1}),
			},
			Peers: []status.Peer{
				{Peer: "near", State: status.Connected, Links: up},
				{Peer: "away", State: status.Suspect},
				{Peer: "odd", State: status.Connected, Links: up, LastError: "one replica refuses"},
			},
		}
		unknown := tt.filter.Apply(&s)
		var services, peers []string
		for _, v := range s.Services {
			services = append(services, v.Namespace+"/"+v.Name)
		}
		for _, p := range s.Peers {
			peers = append(peers, p.Peer)
		}
		if !slices.Equal(services, strings.Fields(tt.services)) || !slices.Equal(peers, strings.Fields(tt.peers)) ||
			!slices.Equal(unknown, strings.Fields(tt.unknown)) {
			t.Errorf("%s: services %q, peers %q, unknown %q", tt.name, services, peers, unknown)
		}
	}
}

// What is left out is not taken for what is not there.
func TestNothingToShow(t *testing.T) {
	t.Parallel()
	for problems, want := range map[bool]string{false: "no peers\n", true: "no peers with problems\n"} {
		var b strings.Builder
		err := Status(&b, Source{}, admin.Status{}, &Filter{Problems: problems}, time.Unix(0, 0))
		if err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("%v: %s", err, b.String())
		}
	}
}
