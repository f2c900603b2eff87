package external_test

import (
	"fmt"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/external"
)

// printer takes what a Resolver hands on, as a catalog does.
type printer struct{}

func (printer) SetLocal(l discovery.Local) {
	for name, s := range l.Services.All() {
		for port, endpoints := range s.Endpoints {
			fmt.Println(name, port, endpoints[0].Address)
		}
	}
}

// An address needs no lookup. Names are followed by Run.
func ExampleResolver() {
	name := discovery.ServiceName{Namespace: "shop", Name: "db"}
	var local discovery.Local
	local.Services = local.Services.With(name, &discovery.Service{Name: name, External: &discovery.External{
		Endpoints: []discovery.ExternalEndpoint{{Host: "192.0.2.1", Ports: map[uint16]uint16{80: 8080}}},
	}})
	external.New(external.Config{}, printer{}).SetLocal(local)
	// Output: shop/db 80 192.0.2.1:8080
}
