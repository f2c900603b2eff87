package balance

import (
	"slices"

	"github.com/eastway/eastway/discovery"
)

// HTTP is true when requests on the service port are carried one by one for callers of this cluster. The port of the own Service
// decides; where the cluster has none with that number, the oldest export of the port among the peers.
func (tb *Table) HTTP(k Key) bool {
	s := tb.snapshot.Load()
	if s == nil {
		return false
	}
	svc := s.Services.Get(k.Service)
	return svc != nil && isHTTP(svc.Ports, k.Port)
}

func isHTTP(ports []discovery.ServicePort, port uint16) bool {
	return slices.ContainsFunc(ports, func(p discovery.ServicePort) bool { return p.Port == port && p.HTTP })
}
