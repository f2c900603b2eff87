package discovery

import (
	"net/netip"
	"strings"
	"time"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Locality says where an endpoint, a proxy or a caller is. The cluster is kept
// beside it, not in it: two clusters may share a region and even a zone.
// The words are Kubernetes' topology.kubernetes.io/region and /zone.
type Locality struct {
	Region string `json:"region,omitempty"`
	Zone   string `json:"zone,omitempty"`
}

// String is REGION/ZONE, with "-" for what is not known.
func (l Locality) String() string {
	return orDash(l.Region) + "/" + orDash(l.Zone)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// ServiceName names a service. By KEP-1645's namespace sameness the same name
// and namespace is the same service in every cluster.
type ServiceName struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// String is NAMESPACE/NAME.
func (n ServiceName) String() string { return n.Namespace + "/" + n.Name }

// Compare orders by namespace, then name.
func (n ServiceName) Compare(o ServiceName) int {
	if c := strings.Compare(n.Namespace, o.Namespace); c != 0 {
		return c
	}
	return strings.Compare(n.Name, o.Name)
}

// Protocols of a ServicePort, as Kubernetes writes them.
const (
	TCP  = "TCP"
	UDP  = "UDP"
	SCTP = "SCTP"
)

// ServicePort is one port of a service, named as in Kubernetes. Ports of the
// same service in different clusters are matched by number and protocol.
type ServicePort struct {
	Name        string `json:"name,omitempty"`
	Port        uint16 `json:"port"`
	Protocol    string `json:"protocol"`
	AppProtocol string `json:"appProtocol,omitempty"`
}

// Endpoint is one local address behind one service port.
type Endpoint struct {
	Address  netip.AddrPort `json:"address"`
	Locality Locality       `json:"locality"`
	// Ready is EndpointSlice's conditions.ready (absent means true).
	Ready bool `json:"ready"`
}

// Readiness is what a peer tells of one service port in one zone: counts, never addresses.
type Readiness struct {
	Locality Locality `json:"locality"`
	Port     uint16   `json:"port"`
	Ready    uint32   `json:"ready"`
	Total    uint32   `json:"total"`
}

// PeerExport is a service as one peer exports it.
type PeerExport struct {
	Peer      string        `json:"peer"`
	Ports     []ServicePort `json:"ports"`
	Readiness []Readiness   `json:"readiness"`
	// Since is when it took its present form here.
	Since time.Time `json:"since"`
}

// Service is one service as this cluster sees it: its own endpoints and what peers export
// under the same name. It is immutable once it is part of a Snapshot.
type Service struct {
	Name  ServiceName   `json:"name"`
	Ports []ServicePort `json:"ports"`
	// Addresses are those on which callers reach the service (clusterIP, clusterIPs);
	// the proxy listens on each of them, once for every TCP port. Empty: not listened for.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Exported is true when this cluster offers the service to its peers (ServiceExport).
	Exported bool `json:"exported"`
	// Endpoints are the local ones by service port number, sorted by address.
	Endpoints map[uint16][]Endpoint `json:"endpoints,omitempty"`
	// Peers are the exporters among the peers, sorted by name.
	Peers []PeerExport `json:"peers,omitempty"`
	// Policy is the TrafficPolicy that targets the service; nil when there is none.
	Policy *v1alpha1.TrafficPolicySpec `json:"policy,omitempty"`
}

// Snapshot is everything known at one moment. It is immutable and safe to share.
type Snapshot struct {
	// Revision grows by one with each change of the catalog.
	Revision uint64
	Services map[ServiceName]*Service
	// Peers are the valid Peer manifests by name.
	Peers map[string]*Peer
	// Localities maps the addresses of local endpoints to where they are, so that
	// a caller is known by its source address.
	Localities map[netip.Addr]Locality
}

// Peer is a validated Peer manifest.
type Peer struct {
	Name string
	Spec v1alpha1.PeerSpec
}
