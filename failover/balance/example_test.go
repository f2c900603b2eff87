package balance_test

import (
	"fmt"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/tunnel"
)

type noMetrics struct{}

func (noMetrics) Ejected(discovery.ServiceName, balance.Failure, bool) {}
func (noMetrics) Returned(discovery.ServiceName)                       {}
func (noMetrics) Forgotten(discovery.ServiceName)                      {}

type linked struct{}

func (linked) State(string) tunnel.PeerState {
	return tunnel.PeerState{Usable: true, RTT: 30 * time.Millisecond}
}

// A handler takes the candidates, tries them in their order and reports the outcome of each.
func ExampleTable_Candidates() {
	cart := discovery.ServiceName{Namespace: "shop", Name: "cart"}
	ports := []discovery.ServicePort{{Port: 80, Protocol: discovery.TCP}}
	here, abroad := discovery.Locality{Region: "eu", Zone: "eu-1"}, discovery.Locality{Region: "us", Zone: "us-1"}
	table := balance.NewTable(balance.Config{
		Cluster: "berlin", Locality: here, Peers: linked{}, Log: zap.NewNop(), Metrics: noMetrics{},
	})
	table.Apply(&discovery.Snapshot{Services: hashtrie.Of(map[discovery.ServiceName]*discovery.Service{cart: {
		Name: cart, Ports: ports,
		Endpoints: map[uint16][]discovery.Endpoint{80: {
			{Address: netip.MustParseAddrPort("10.0.0.1:8080"), Locality: here, Ready: true},
		}},
		Peers: []discovery.PeerExport{{
			Peer: "boston", Ports: ports, Readiness: []discovery.Readiness{{Locality: abroad, Port: 80, Ready: 3, Total: 3}},
		}},
	}})})

	key := balance.Key{Service: cart, Port: 80}
	caller := balance.Caller{Cluster: "berlin", Address: "10.0.0.9:41000", Locality: here}
	for range 4 {
		candidates := table.Candidates(key, caller)
		use := candidates[0].Begin()
		fmt.Println("first", candidates[0].Address, "then", candidates[1].Address)
		use.Done(balance.Outcome{Failure: balance.LocalFailure}) // it refused
	}
	// Output:
	// first 10.0.0.1:8080 then boston
	// first 10.0.0.1:8080 then boston
	// first 10.0.0.1:8080 then boston
	// first boston then 10.0.0.1:8080
}
