package takeover

import (
	"net/netip"
)

// Inventory is what the agent knows of the cluster, and keeps in its snapshot.
type Inventory struct {
	Self     Locality  `json:"self"`
	Services []Service `json:"services"` // those with the annotation, by name; then the derived ones of imports
	Proxies  []Proxy   `json:"proxies"`  // by address
	Omitted  Omitted   `json:"omitted,omitzero"`
}

// Omitted is how many there are beyond what a node keeps: calls to those Services go the way of kube-proxy, and no calls to
// those proxies.
type Omitted struct {
	Services int `json:"services,omitempty"`
	Proxies  int `json:"proxies,omitempty"`
}

// bound omits what is too much.
func (inv *Inventory) bound() {
	inv.Omitted = Omitted{Services: max(len(inv.Services)-maxServices, 0), Proxies: max(len(inv.Proxies)-maxProxies, 0)}
	inv.Services = inv.Services[:min(len(inv.Services), maxServices)]
	inv.Proxies = inv.Proxies[:min(len(inv.Proxies), maxProxies)]
}

// Locality is where a node is.
type Locality struct {
	Node   string `json:"node,omitempty"`
	Zone   string `json:"zone,omitempty"`
	Region string `json:"region,omitempty"`
}

// Service is a Service that asks to be taken over, or one that the controller made for an import.
type Service struct {
	Name string `json:"name"` // NAMESPACE/NAME
	// Carries is the service that proxies carry for it, NAMESPACE/NAME; empty: that of its name.
	Carries   string       `json:"carries,omitempty"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Ports     []Port       `json:"ports,omitempty"`
	// Affinity: the same client goes to the same proxy.
	Affinity bool `json:"affinity,omitempty"`
	// Refused says why it is not taken over; "" is the usual.
	Refused string `json:"refused,omitempty"`
	// Waiting: the controller has not given it ports on the proxies yet.
	Waiting bool `json:"waiting,omitempty"`
}

// Port is one port of a Service.
type Port struct {
	Protocol string `json:"protocol"` // TCP, UDP or SCTP
	Port     uint16 `json:"port"`
	// Target is the port on which proxies listen for it; 0 when there is none.
	Target uint16 `json:"target,omitempty"`
}

// Proxy is one address of one proxy pod.
type Proxy struct {
	Address netip.Addr `json:"address"`
	// Health is the port of its health listener.
	Health uint16 `json:"health"`
	Pod    string `json:"pod,omitempty"`
	Locality
}

// distance tells how far away a proxy is, from near to far.
type distance int

const (
	sameNode distance = iota
	sameZone
	sameRegion
	sameCluster
)

func (d distance) String() string {
	return [...]string{"node", "zone", "region", "cluster"}[d]
}

// distanceTo compares what is known: an empty name equals nothing, not even another empty one.
func (l Locality) distanceTo(other Locality) distance {
	switch region := l.Region != "" && l.Region == other.Region; {
	case l.Node != "" && l.Node == other.Node:
		return sameNode
	// Where regions are not known the zones have to do.
	case l.Zone != "" && l.Zone == other.Zone && (region || l.Region == "" || other.Region == ""):
		return sameZone
	case region:
		return sameRegion
	default:
		return sameCluster
	}
}
