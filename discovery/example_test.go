package discovery_test

import (
	"fmt"
	"net/netip"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/hashtrie"
)

// A source sets what it found; readers take the snapshot and wait for the next one.
func ExampleCatalog() {
	catalog := discovery.NewCatalog(nil)
	changed := catalog.Changed()
	name := discovery.ServiceName{Namespace: "default", Name: "shop"}
	catalog.SetLocal(discovery.Local{Services: hashtrie.Of(map[discovery.ServiceName]*discovery.Service{name: {
		Name:  name,
		Ports: []discovery.ServicePort{{Name: "http", Port: 80, Protocol: "TCP"}},
		Endpoints: map[uint16][]discovery.Endpoint{80: {
			{Address: netip.MustParseAddrPort("10.0.0.7:8080"), Locality: discovery.Locality{Region: "eu", Zone: "eu-1"}, Ready: true},
		}},
	}})})
	<-changed
	for _, e := range catalog.Snapshot().Services.Get(name).Endpoints[80] {
		fmt.Println(name, e.Address, e.Locality)
	}
	// Output: default/shop 10.0.0.7:8080 eu/eu-1
}
