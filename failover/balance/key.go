package balance

import (
	"net/netip"

	"github.com/eastway/eastway/discovery"
)

// Key names one port of one service, or of one pod of a headless service.
type Key struct {
	Service discovery.ServiceName
	Port    uint16
	Pod     discovery.PodRef // zero: any
}

// includes is true for an endpoint of the own cluster that the key covers.
func (k Key) includes(own string, e *discovery.Endpoint) bool {
	return k.Pod == discovery.PodRef{} || k.Pod == discovery.PodRef{Cluster: own, Hostname: e.Hostname}
}

// includesPeer is true for a peer that the key covers.
func (k Key) includesPeer(peer string) bool { return k.Pod.Cluster == "" || k.Pod.Cluster == peer }

// Address names a place behind a service port: a local endpoint, or a peer.
type Address struct {
	Endpoint netip.AddrPort
	Peer     string // empty for a local endpoint
}

// String is the address or the peer's name.
func (a Address) String() string {
	if a.Peer != "" {
		return a.Peer
	}
	return a.Endpoint.String()
}

// Ports are the TCP ports of a service: its own, and those that only peers export.
func Ports(svc *discovery.Service) map[uint16]bool {
	ports := make(map[uint16]bool)
	add := func(list []discovery.ServicePort) {
		for _, p := range list {
			if IsTCP(p) {
				ports[p.Port] = true
			}
		}
	}
	add(svc.Ports)
	for i := range svc.Peers {
		add(svc.Peers[i].Ports)
	}
	return ports
}

// keysOf are the service's TCP ports, and those of single pods that have listeners.
func keysOf(svc *discovery.Service) map[Key]bool {
	keys := make(map[Key]bool)
	for port := range Ports(svc) {
		keys[Key{Service: svc.Name, Port: port}] = true
	}
	for _, l := range svc.Listeners {
		if k := (Key{Service: svc.Name, Port: l.Port}); keys[k] {
			k.Pod = l.Pod
			keys[k] = true
		}
	}
	return keys
}

// IsTCP is true for the ports that are served; the default protocol is TCP.
func IsTCP(p discovery.ServicePort) bool { return p.Protocol == discovery.TCP || p.Protocol == "" }
