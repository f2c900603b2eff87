package balance

import (
	"net/netip"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/tunnel"
)

type linked struct{}

func (linked) State(string) tunnel.PeerState { return tunnel.PeerState{Usable: true} }

// The own port decides for callers of this cluster, the oldest of the peers' exports where there is none.
func TestHTTP(t *testing.T) {
	t.Parallel()
	const (
		tcp  = "tcp"
		http = "http"
		none = ""
	)
	ports := func(protocol string) []discovery.ServicePort {
		if protocol == none {
			return []discovery.ServicePort{{Name: "other", Port: servicePort + 1, Protocol: discovery.TCP}}
		}
		return []discovery.ServicePort{
			{Name: "web", Port: servicePort, Protocol: discovery.UDP}, // not the port that is called
			{Name: "web", Port: servicePort, Protocol: discovery.TCP, HTTP: protocol == http},
		}
	}
	for _, test := range []struct {
		name           string
		own, old, late string // late is the export of a peer whose name comes first
		want           bool
	}{
		{"the own port", http, none, none, true},
		{"the own port, not HTTP", tcp, none, none, false},
		{"the own port before all exports", tcp, http, http, false},
		{"the own port before all exports, HTTP", http, tcp, tcp, true},
		{"the oldest export", none, http, tcp, true},
		{"the oldest export, not HTTP", none, tcp, http, false},
		{"the oldest export of that port", none, none, http, true},
		{"no such port", none, none, none, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := discovery.NewCatalog(nil)
			local := discovery.Local{Peers: map[string]*discovery.Peer{"late": {Name: "late"}, "old": {Name: "old"}}}
			local.Services = hashtrie.Of(map[discovery.ServiceName]*discovery.Service{echoName: {
				Name: echoName, Ports: ports(test.own), Endpoints: map[uint16][]discovery.Endpoint{},
			}})
			if test.own != none {
				local.Services.Get(echoName).Endpoints[servicePort] = []discovery.Endpoint{endpoint(netip.MustParseAddrPort("10.0.0.1:80"), here)}
			}
			c.SetLocal(local)
			for peer, export := range map[string]struct {
				protocol string
				created  int64
			}{"old": {test.old, 1}, "late": {test.late, 2}} {
				u := discovery.Update{
					Epoch: 1, Revision: 1,
					Exports: map[discovery.ServiceName]discovery.Metadata{echoName: {
						Ports: ports(export.protocol), Export: discovery.Export{Created: time.Unix(export.created, 0)},
					}},
				}
				if export.protocol != none {
					rows := []discovery.Readiness{{Locality: abroad, Port: servicePort, Ready: 1, Total: 1}}
					u.Readiness = map[discovery.ServiceName]discovery.Endpoints{echoName: {Rows: rows}}
				}
				if err := c.UpdateRemote(discovery.ReplicaID{Peer: peer, Replica: "1"}, u); err != nil {
					t.Fatal(err)
				}
			}
			table := NewTable(Config{Cluster: "here", Locality: here, Peers: linked{}, Log: zap.NewNop(), Metrics: &counts{}})
			key := Key{Service: echoName, Port: servicePort}
			if table.HTTP(key) {
				t.Error("HTTP before there is a catalog")
			}
			table.Apply(c.Snapshot())
			if got := table.HTTP(key); got != test.want {
				t.Errorf("HTTP is %v", got)
			}
			if table.HTTP(Key{Service: discovery.ServiceName{Name: "unknown"}, Port: servicePort}) {
				t.Error("an unknown service is HTTP")
			}
		})
	}
}
