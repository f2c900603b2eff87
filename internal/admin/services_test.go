package admin

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/hashtrie"
)

func TestServices(t *testing.T) {
	t.Parallel()
	endpoint := func(address string, ready bool) discovery.Endpoint {
		return discovery.Endpoint{Address: netip.MustParseAddrPort(address), Ready: ready}
	}
	unhealthy := endpoint("127.0.1.3:90", true)
	unhealthy.Unhealthy = "GET /healthz: 503"
	mockb := discovery.ServiceName{Namespace: "default", Name: "mockb"}
	alone := discovery.ServiceName{Namespace: "a", Name: "z"}
	ports := []discovery.ServicePort{{Port: 80, Protocol: discovery.TCP}, {Port: 90, Protocol: discovery.TCP}}
	addresses := []netip.Addr{netip.MustParseAddr("127.0.0.9")}
	snapshot := &discovery.Snapshot{Services: hashtrie.Of(map[discovery.ServiceName]*discovery.Service{
		mockb: {
			Name: mockb, Ports: ports, Addresses: addresses, Export: &discovery.Export{},
			Endpoints: map[uint16][]discovery.Endpoint{
				80: {endpoint("127.0.1.1:80", true), endpoint("127.0.1.2:80", true)},
				90: {endpoint("127.0.1.1:90", true), endpoint("127.0.1.2:90", false), unhealthy},
			},
			Peers: []discovery.PeerExport{{Peer: "west", Readiness: []discovery.Readiness{
				{Port: 80, Locality: discovery.Locality{Zone: "a"}, Ready: 1, Total: 2},
				{Port: 80, Locality: discovery.Locality{Zone: "b"}, Ready: 3, Total: 3},
				{Port: 90, Locality: discovery.Locality{Zone: "a"}, Ready: 9, Total: 9},
			}}, {Peer: "wild"}},
		},
		alone: {Name: alone},
	})}
	want := []ServiceStatus{
		{Namespace: "a", Name: "z", Peers: []PeerReadiness{}},
		{
			Namespace: "default", Name: "mockb", Ports: ports, Addresses: addresses, Exported: true,
			LocalReady: 1, LocalTotal: 3, LocalMost: 2,
			Peers: []PeerReadiness{{Peer: "west", Ready: 4, Total: 5, Most: 9}, {Peer: "wild"}},
		},
	}
	if got := Services(snapshot); !reflect.DeepEqual(got, want) {
		t.Errorf("Services() =\n%+v\nwant\n%+v", got, want)
	}
}
