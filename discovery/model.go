package discovery

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/hashtrie"
)

// Locality is where an endpoint, a proxy or a caller is. The cluster is kept
// beside it, not in it: two clusters may share a region and even a zone.
// The names are those of Kubernetes' labels topology.kubernetes.io/region and /zone.
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
	// HTTP: requests on this port are carried one by one; else its connections are carried as they are. Only TCP ports have it.
	HTTP bool `json:"http,omitempty"`
}

// Endpoint is one local address behind one service port.
type Endpoint struct {
	Address  netip.AddrPort `json:"address"`
	Locality Locality       `json:"locality"`
	// Ready is EndpointSlice's conditions.ready (absent means true).
	Ready bool `json:"ready"`
	// Terminating: it is not ready, because its pod is being deleted, but serves until then.
	Terminating bool `json:"terminating,omitempty"`
	// Hostname is how a headless service's pod is called in DNS; empty when it has no name of its own.
	Hostname string `json:"hostname,omitempty"`
	// Host is the DNS name that has the address; empty when it was given as an address.
	Host string `json:"host,omitempty"`
	// Unhealthy is why it fails the health check of the TrafficPolicy; empty while it does not. Sources leave it empty.
	Unhealthy string `json:"unhealthy,omitempty"`
}

// EndpointRef names an endpoint of the own cluster, as it serves one port of a service.
type EndpointRef struct {
	Service ServiceName
	Port    uint16
	Address netip.AddrPort
}

// Listener is a TCP port on which the proxy accepts connections for one port of a service.
type Listener struct {
	// Address to listen on; an unspecified IP means all of the proxy's own.
	Address netip.AddrPort `json:"address"`
	// Port is the service port that is meant.
	Port uint16 `json:"port"`
	// ClusterSet is true where callers mean the service as all clusters together export it:
	// the own endpoints count only if this cluster exports it too.
	ClusterSet bool `json:"clusterSet,omitempty"`
	// Pod, if its cluster is named, is the only endpoint that is meant.
	Pod PodRef `json:"pod,omitzero"`
}

// ListenersAt are the listeners of a service's TCP ports at its own addresses.
func ListenersAt(ports []ServicePort, addresses ...netip.Addr) []Listener {
	var listeners []Listener
	for _, a := range addresses {
		for _, p := range ports {
			if p.Protocol == TCP {
				listeners = append(listeners, Listener{Address: netip.AddrPortFrom(a, p.Port), Port: p.Port})
			}
		}
	}
	return listeners
}

// PodRef names one pod of a headless service.
type PodRef struct {
	Cluster  string `json:"cluster,omitempty"`
	Hostname string `json:"hostname,omitempty"`
}

// ServiceSpec is the part of a Service's spec beside its ports, with Kubernetes' values. The zero value is Kubernetes' default.
type ServiceSpec struct {
	Headless bool `json:"headless,omitempty"`
	// SessionAffinity is "ClientIP", or empty for None.
	SessionAffinity string `json:"sessionAffinity,omitempty"`
	// SessionAffinityTimeout goes with ClientIP, whole seconds.
	SessionAffinityTimeout time.Duration `json:"sessionAffinityTimeout,omitempty"`
	// InternalTrafficPolicy is "Local", or empty for Cluster.
	InternalTrafficPolicy string `json:"internalTrafficPolicy,omitempty"`
	// TrafficDistribution is as in the Service, often empty.
	TrafficDistribution string `json:"trafficDistribution,omitempty"`
	// IPFamilies in the Service's order: "IPv4", "IPv6".
	IPFamilies []string `json:"ipFamilies,omitempty"`
}

// Export is a ServiceExport.
type Export struct {
	// Created is its creationTimestamp, whole seconds; zero when it is not known. The oldest export decides where clusters differ.
	Created time.Time `json:"created,omitzero"`
	// Labels and Annotations are those that it exports.
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// To are the Peers that may call the service, sorted; nil: all. Peers are not sent it.
	To []string `json:"to,omitempty"`
	// ToDryRun: the other Peers may call it too, and it is counted that To would deny that.
	ToDryRun bool `json:"toDryRun,omitempty"`
}

// Pod is what a peer advertises of one endpoint of a headless service: its name, never its address.
type Pod struct {
	Hostname string   `json:"hostname"`
	Locality Locality `json:"locality"`
	Ready    bool     `json:"ready"`
}

// Readiness is what a peer advertises of one service port in one zone: counts, never addresses.
type Readiness struct {
	Locality Locality `json:"locality"`
	Port     uint16   `json:"port"`
	Ready    uint32   `json:"ready"`
	// Terminating are not ready, but serve until their pods are deleted; or they are ready, but fail their health check. They are used when
	// nothing is ready anywhere.
	Terminating uint32 `json:"terminating,omitempty"`
	Total       uint32 `json:"total"`
	// InFlight is how many calls each endpoint can have in flight; 0: any number.
	InFlight uint32 `json:"inFlight,omitempty"`
}

// PeerExport is a service as one peer exports it.
type PeerExport struct {
	Peer      string        `json:"peer"`
	Ports     []ServicePort `json:"ports"`
	Readiness []Readiness   `json:"readiness"`
	Spec      ServiceSpec   `json:"spec"`
	Export    Export        `json:"export"`
	// Pods of a headless service that have names, sorted by name.
	Pods []Pod `json:"pods,omitempty"`
	// Outside is a locality that the peer claims beside those of spec.localities; what is there counts as nowhere near. Zero: none.
	Outside Locality `json:"outside,omitzero"`
	// Heard is when this cluster first heard of the export, for which the peer's clock does not count; zero: it is not known.
	Heard time.Time `json:"heard,omitzero"`
	// Since is when it took its present form here.
	Since time.Time `json:"since"`
}

// Service is one service as this cluster sees it: its own endpoints and what peers export
// under the same name. It is immutable once it is part of a Snapshot.
type Service struct {
	Name ServiceName `json:"name"`
	// Ports are the own ones; in a Snapshot also those that only peers export, each as the oldest export has it.
	Ports []ServicePort `json:"ports"`
	// Addresses are those on which callers reach the service (clusterIP, clusterIPs).
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Listeners are where the proxy accepts connections for it. None: not listened for.
	Listeners []Listener `json:"listeners,omitempty"`
	// Spec is that of the own Service object.
	Spec ServiceSpec `json:"spec"`
	// ProxyProtocol: the own endpoints expect the header of the PROXY protocol on each connection.
	ProxyProtocol bool `json:"proxyProtocol,omitempty"`
	// External is where a service outside all clusters is; nil for the Services of Kubernetes. Its endpoints come from there.
	External *External `json:"external,omitempty"`
	// Export is how this cluster offers the service to its peers; nil: it does not.
	Export *Export `json:"export,omitempty"`
	// Private: proxies listen at its address, but its owner has not consented that peers answer there, by a ServiceExport or the annotation
	// eastway.dev/takeover. A peer does only if spec.imports of its Peer names the service.
	Private bool `json:"private,omitempty"`
	// Unused are the peers that export it, but for which there is no consent, sorted by name.
	Unused []string `json:"unused,omitempty"`
	// Endpoints are the local ones by service port number, sorted by address.
	Endpoints map[uint16][]Endpoint `json:"endpoints,omitempty"`
	// Precedence are the exporting clusters in the order in which they decide where they differ, as the controller has found it. Nil:
	// there is none, and the own export comes first.
	Precedence []string `json:"precedence,omitempty"`
	// Peers are the exporters among the peers, sorted by name.
	Peers []PeerExport `json:"peers,omitempty"`
	// Policy is the TrafficPolicy that targets the service; nil when there is none.
	Policy *v1alpha1.TrafficPolicySpec `json:"policy,omitempty"`
}

// OutsideTLS is what the proxy adds to connections to the endpoints; nil: nothing.
func (s *Service) OutsideTLS() *TLS {
	if s.External == nil {
		return nil
	}
	return s.External.TLS
}

// External is what an ExternalService says of its endpoints.
type External struct {
	Hosts     []string           `json:"hosts"`
	Endpoints []ExternalEndpoint `json:"endpoints"`
	// TLS is what the proxy adds to connections to the endpoints; nil: nothing.
	TLS *TLS `json:"tls,omitempty"`
}

// TLS is how the endpoints of a service get TLS. Of an ExternalService, and of nothing else.
type TLS struct {
	Service ServiceName `json:"service"`
	// Mode is one of the API's, but DISABLE.
	Mode string `json:"mode"`
	// SNI is the server name; empty: the endpoint's DNS name, or else Host.
	SNI  string `json:"sni,omitempty"`
	Host string `json:"host"`
	// Names are what the certificate has to be for one of; none: the server name, with SPIFFE any ID of the own trust domain.
	Names []string `json:"names,omitempty"`
	// CAFile, CertFile and KeyFile are PEM files; without CAFile the roots are the system's.
	CAFile   string `json:"caFile,omitempty"`
	CertFile string `json:"certFile,omitempty"`
	KeyFile  string `json:"keyFile,omitempty"`
}

// Equal is true when connections with one serve requests that are to get the other one.
func (t *TLS) Equal(o *TLS) bool { return t == o || reflect.DeepEqual(t, o) }

// ExternalEndpoint is one of them, or as many as its name has addresses.
type ExternalEndpoint struct {
	// Host is an IP address or a DNS name.
	Host     string   `json:"host"`
	Locality Locality `json:"locality"`
	// Ports are those of the endpoint by port of the service.
	Ports map[uint16]uint16 `json:"ports"`
}

// IsOwnListener is true for an endpoint that is one of the service's own listeners: a connection there would come back here for ever.
func (s *Service) IsOwnListener(endpoint netip.AddrPort) bool {
	return slices.ContainsFunc(s.Listeners, func(l Listener) bool { return l.Address == endpoint }) ||
		slices.Contains(s.Addresses, endpoint.Addr()) &&
			slices.ContainsFunc(s.Ports, func(sp ServicePort) bool { return sp.Port == endpoint.Port() })
}

// Snapshot is everything known at one moment. It is immutable and safe to share. The next one shares its Services with it but
// for those that changed, so that hashtrie.Differing costs no more than these.
type Snapshot struct {
	// Revision grows by one with each change of the catalog.
	Revision uint64
	Services hashtrie.Map[ServiceName, *Service]
	// Peers are the valid Peer manifests by name.
	Peers map[string]*Peer
	// Localities maps the addresses of local endpoints to where they are, so that
	// a caller is known by its source address.
	Localities hashtrie.Map[netip.Addr, Locality]
	// Networks place callers whose address is not in Localities; sorted by address.
	Networks []Network
	// Proxies is how many of the own cluster serve; 0: it is not known.
	Proxies int
	// ProxyAddresses are those of its pods, sorted: nothing but a proxy of this cluster connects from there.
	ProxyAddresses []netip.Addr
	// Excess are the peers that export more than their quota, by name.
	Excess map[string]*Excess
}

// Network is a range of callers' addresses that are in one place, such as a node's pods. Ranges do not overlap, and begin at
// their first address.
type Network struct {
	Prefix   netip.Prefix
	Locality Locality
}

// Locate is where the caller with that address is; false when that is not known.
func (s *Snapshot) Locate(caller netip.Addr) (Locality, bool) {
	caller = caller.Unmap()
	if l, ok := s.Localities.Lookup(caller); ok {
		return l, true
	}
	after, exact := slices.BinarySearchFunc(s.Networks, caller, func(n Network, a netip.Addr) int { return n.Prefix.Addr().Compare(a) })
	if exact {
		after++
	}
	if after > 0 && s.Networks[after-1].Prefix.Contains(caller) {
		return s.Networks[after-1].Locality, true
	}
	return Locality{}, false
}

// IsProxy is true for a caller that is a proxy of the own cluster.
func (s *Snapshot) IsProxy(caller netip.Addr) bool {
	_, is := slices.BinarySearchFunc(s.ProxyAddresses, caller.Unmap(), netip.Addr.Compare)
	return is
}

// Peer is a validated Peer manifest.
type Peer struct {
	Name string
	Spec v1alpha1.PeerSpec
}
