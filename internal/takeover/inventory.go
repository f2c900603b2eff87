package takeover

import (
	"net/netip"

	"github.com/eastway/eastway/internal/takeover/report"
)

// Inventory is the agent's state of the cluster, and the content of its snapshot.
type Inventory struct {
	Self     report.Locality `json:"self"`
	Services []Service       `json:"services"` // those with the annotation, by name; then the derived ones of imports
	Proxies  []Proxy         `json:"proxies"`  // by address
	Omitted  report.Omitted  `json:"omitted,omitzero"`
}

// bound omits what exceeds the limits.
func (inv *Inventory) bound() {
	inv.Omitted = report.Omitted{Services: max(len(inv.Services)-maxServices, 0), Proxies: max(len(inv.Proxies)-maxProxies, 0)}
	inv.Services = inv.Services[:min(len(inv.Services), maxServices)]
	inv.Proxies = inv.Proxies[:min(len(inv.Proxies), maxProxies)]
}

// Service is a Service with the takeover annotation, or one that the controller made for an import.
type Service struct {
	Name string `json:"name"` // NAMESPACE/NAME
	// Carries is the service that proxies carry for it, NAMESPACE/NAME; "" if it has the same name.
	Carries   string       `json:"carries,omitempty"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Ports     []Port       `json:"ports,omitempty"`
	// Affinity: the same client goes to the same proxy.
	Affinity bool `json:"affinity,omitempty"`
	// Alone: no endpoint of its own cluster is ready, so without proxies calls are refused.
	Alone bool `json:"alone,omitempty"`
	// Refused is why it is not taken over; usually "".
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
	// Agents is the port of its listener for node agents; 0: it has none.
	Agents uint16 `json:"agents,omitempty"`
	Pod    string `json:"pod,omitempty"`
	report.Locality
}

// distance is how far away a proxy is, from near to far.
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

// distanceOf compares two localities; an empty name equals nothing, not even another empty one.
func distanceOf(from, to *report.Locality) distance {
	switch region := from.Region != "" && from.Region == to.Region; {
	case from.Node != "" && from.Node == to.Node:
		return sameNode
	// Without regions, the zones have to do.
	case from.Zone != "" && from.Zone == to.Zone && (region || from.Region == "" || to.Region == ""):
		return sameZone
	case region:
		return sameRegion
	default:
		return sameCluster
	}
}
