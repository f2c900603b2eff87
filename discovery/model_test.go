package discovery

import (
	"net/netip"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/hashtrie"
)

func TestDecisive(t *testing.T) {
	t.Parallel()
	at := func(seconds int64) Export {
		if seconds == 0 {
			return Export{} // as in a file
		}
		return Export{Created: time.Unix(seconds, 0)}
	}
	spec := func(distribution string) ServiceSpec { return ServiceSpec{TrafficDistribution: distribution} }
	export := func(peer string, seconds int64) PeerExport {
		return PeerExport{Peer: peer, Export: at(seconds), Spec: spec(peer)}
	}
	own0, own5, own9 := at(0), at(5), at(9)
	for name, tt := range map[string]struct {
		export *Export
		peers  []PeerExport
		want   string
	}{
		"no exporter":              {nil, nil, "m"},
		"only the own":             {&own5, nil, "m"},
		"only a peer":              {nil, []PeerExport{export("z", 9)}, "z"},
		"the oldest":               {&own9, []PeerExport{export("a", 7), export("z", 5)}, "z"},
		"the own is oldest":        {&own5, []PeerExport{export("a", 7)}, "m"},
		"as old, first by name":    {&own5, []PeerExport{export("a", 5), export("b", 5)}, "a"},
		"as old, own name first":   {&own5, []PeerExport{export("z", 5)}, "m"},
		"unknown ages":             {&own0, []PeerExport{export("z", 0)}, "m"},
		"own age unknown":          {&own0, []PeerExport{export("z", 9)}, "z"},
		"a peer's age unknown":     {&own9, []PeerExport{export("a", 0)}, "m"},
		"own not exported is none": {nil, []PeerExport{export("z", 5), export("b", 9)}, "z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &Service{Spec: spec("m"), Export: tt.export, Peers: tt.peers}
			if got := s.Decisive("m").TrafficDistribution; got != tt.want {
				t.Errorf("%q decides, want %q", got, tt.want)
			}
			if i := Resolve("m", s); len(i.Clusters) > 0 && i.Spec.TrafficDistribution != tt.want {
				t.Errorf("%q decides in Resolve, want %q", i.Spec.TrafficDistribution, tt.want)
			}
		})
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
