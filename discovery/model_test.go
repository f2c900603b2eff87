package discovery

import (
	"net/netip"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/hashtrie"
)

// Which spec counts: that of the cluster which the controller puts first. Without a controller it is the own export's, whatever peers claim.
func TestDecisive(t *testing.T) {
	t.Parallel()
	at := func(seconds int64) *Export { return &Export{Created: time.Unix(seconds, 0)} }
	spec := func(distribution string) ServiceSpec { return ServiceSpec{TrafficDistribution: distribution} }
	export := func(peer string, seconds int64) PeerExport {
		return PeerExport{Peer: peer, Export: *at(seconds), Spec: spec(peer)}
	}
	for name, tt := range map[string]struct {
		export     *Export
		peers      []PeerExport
		precedence []string
		want       string
	}{
		"no exporter":               {nil, nil, nil, "m"},
		"only the own":              {at(5), nil, nil, "m"},
		"only a peer":               {nil, []PeerExport{export("z", 9)}, nil, "z"},
		"a peer says 1970":          {at(9), []PeerExport{export("a", 0)}, nil, "m"},
		"own, as in a file":         {&Export{}, []PeerExport{export("a", 0)}, nil, "m"},
		"the oldest peer":           {nil, []PeerExport{export("a", 7), export("z", 5)}, nil, "z"},
		"own not exported is none":  {nil, []PeerExport{export("z", 5), export("b", 9)}, nil, "z"},
		"by the controller":         {at(1), []PeerExport{export("a", 2), export("z", 3)}, []string{"z", "m", "a"}, "z"},
		"the own by the controller": {at(9), []PeerExport{export("a", 2)}, []string{"m", "a"}, "m"},
		"not in its list yet":       {at(9), []PeerExport{export("a", 2)}, []string{"m"}, "m"},
		"its first is gone":         {at(9), []PeerExport{export("b", 3), export("c", 2)}, []string{"a", "b", "m"}, "b"},
	} {
		s := &Service{Spec: spec("m"), Export: tt.export, Peers: tt.peers, Precedence: tt.precedence}
		if got := s.Decisive("m").TrafficDistribution; got != tt.want {
			t.Errorf("%s: %q decides, want %q", name, got, tt.want)
		}
	}
}

func TestLocate(t *testing.T) {
	t.Parallel()
	s := &Snapshot{
		Localities: hashtrie.Of(map[netip.Addr]Locality{netip.MustParseAddr("10.0.1.7"): {Zone: "own"}}),
		Networks: []Network{
			{netip.MustParsePrefix("10.0.1.0/24"), Locality{Zone: "a"}},
			{netip.MustParsePrefix("10.0.2.0/24"), Locality{Zone: "b"}},
			{netip.MustParsePrefix("fd00:1::/64"), Locality{Zone: "c"}},
		},
	}
	for addr, want := range map[string]string{
		"10.0.1.7": "own", "10.0.1.0": "a", "10.0.1.255": "a", "10.0.2.9": "b", "::ffff:10.0.2.9": "b", "fd00:1::9": "c",
		"10.0.0.255": "", "10.0.3.0": "", "fd00:2::1": "", "0.0.0.0": "",
	} {
		l, ok := s.Locate(netip.MustParseAddr(addr))
		if l.Zone != want || ok != (want != "") {
			t.Errorf("%s is in %q, %v, want %q", addr, l.Zone, ok, want)
		}
	}
}
