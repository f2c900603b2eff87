package watch

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/dns/judge"
	"github.com/eastway/eastway/internal/status"
)

var start = time.Unix(10_000, 0)

// world is what a proxy of the cluster east answers: shop/cart has ready endpoints in east and west, as many as given, and west is in a state.
func world(east, west int, state string) *admin.Status {
	return &admin.Status{
		Cluster: "east", Started: start.Add(-time.Hour),
		Peers: []status.Peer{{Peer: "west", State: state}},
		Services: []admin.ServiceStatus{
			{Namespace: "shop", Name: "cart", LocalReady: east, LocalTotal: 2, Peers: []admin.PeerReadiness{{Peer: "west", Ready: west, Total: 3}}},
			{Namespace: "ingress", Name: "gateway", LocalReady: 1, LocalTotal: 1},
		},
	}
}

// onePort is a world in which a port of shop/cart has no ready endpoint and another has some.
func onePort() *admin.Status {
	s := world(0, 0, status.Connected)
	s.Services[0].LocalMost, s.Services[0].Peers[0].Most = 2, 1
	return s
}

func TestTruth(t *testing.T) {
	t.Parallel()
	young := world(1, 1, status.Connected)
	young.Started = start.Add(-time.Second)
	gone := func(s *admin.Status) *admin.Status { s.Services[0].Peers = nil; return s }
	for _, tt := range []struct {
		name     string
		answers  []*admin.Status // nil: none
		cluster  string
		services []string
		verdict  judge.Verdict
		reason   string
	}{
		{"ready here", []*admin.Status{world(1, 0, status.Connected)}, "east", []string{"shop/cart"}, judge.CanServe, "1 of 2 endpoints of"},
		{"none ready here", []*admin.Status{world(0, 3, status.Connected)}, "east", []string{"shop/cart"}, judge.CannotServe, "0 of 2 endpoints"},
		{"ready there", []*admin.Status{world(0, 3, status.Connected)}, "west", []string{"shop/cart"}, judge.CanServe, "3 of 3"},
		{"there and draining", []*admin.Status{world(0, 3, status.Draining)}, "west", []string{"shop/cart"}, judge.CanServe, "3 of 3"},
		{"none ready there", []*admin.Status{world(1, 0, status.Connected)}, "west", []string{"shop/cart"}, judge.CannotServe, "0 of 3"},
		{"disconnected", []*admin.Status{world(1, 0, status.Disconnected)}, "west", []string{"shop/cart"}, judge.Unknown, "is disconnected"},
		{"there and silent", []*admin.Status{world(1, 3, status.Suspect)}, "west", []string{"shop/cart"}, judge.Unknown, "west is suspect"},
		{"no proxy", []*admin.Status{nil}, "west", []string{"shop/cart"}, judge.Unknown, "the proxy does not answer: refused"},
		{"no proxy any more", []*admin.Status{world(1, 0, status.Connected), nil}, "west", []string{"shop/cart"}, judge.Unknown, "refused"},
		{"no such service", []*admin.Status{world(1, 1, status.Connected)}, "east", []string{"shop/nope"}, judge.Unknown, "no Service shop/nope"},
		{"never exported", []*admin.Status{world(1, 1, status.Connected)}, "west", []string{"ingress/gateway"}, judge.Unknown, "does not export"},
		{
			"not exported any more", // or not used here
			[]*admin.Status{world(1, 1, status.Connected), gone(world(1, 1, status.Connected))},
			"west",
			[]string{"shop/cart"},
			judge.Unknown, "or its export is not used here",
		},
		{"one port of two here", []*admin.Status{onePort()}, "east", []string{"shop/cart"}, judge.CanServe, "2 endpoints of shop/cart"},
		{"one port of two there", []*admin.Status{onePort()}, "west", []string{"shop/cart"}, judge.CanServe, "1 endpoints of shop/cart"},
		{"no peer", []*admin.Status{world(1, 1, status.Connected)}, "north", []string{"shop/cart"}, judge.Unknown, "neither this cluster nor a peer"},
		{"no service", []*admin.Status{world(1, 1, status.Connected)}, "west", nil, judge.Unknown, "no service"},
		{"one of two", []*admin.Status{world(0, 1, status.Connected)}, "east", []string{"ingress/gateway", "shop/cart"}, judge.CannotServe, "cart"},
		{"both", []*admin.Status{world(1, 1, status.Connected)}, "east", []string{"ingress/gateway", "shop/cart"}, judge.CanServe, "gateway"},
		{"one is not known", []*admin.Status{world(1, 1, status.Connected)}, "east", []string{"ingress/gateway", "x/y"}, judge.Unknown, "x/y"},
		{"the first is not known", []*admin.Status{world(1, 1, status.Connected)}, "east", []string{"x/y", "shop/cart"}, judge.Unknown, "x/y"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			known := newTruth()
			for _, s := range tt.answers {
				var err error
				if s == nil {
					err = errors.New("refused")
				}
				known.update(s, err)
			}
			got := known.of(tt.cluster, tt.services)
			if got.Verdict != tt.verdict || !strings.Contains(got.Reason, tt.reason) {
				t.Errorf("%v: %s, want %v: %s", got.Verdict, got.Reason, tt.verdict, tt.reason)
			}
		})
	}
}
