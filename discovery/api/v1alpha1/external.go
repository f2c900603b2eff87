package v1alpha1

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ExternalService is a service outside all clusters, such as a managed database, that calls reach like one inside: at the nearest healthy
// of its endpoints. Fields have the names and meanings of Istio's ServiceEntry.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Hosts",type=string,JSONPath=`.spec.hosts`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Programmed",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].status`
// +kubebuilder:printcolumn:name="Addresses",type=string,JSONPath=`.status.addresses`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ExternalService struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              ExternalServiceSpec `json:"spec"`
	// Status shows whether the service is in use, and where callers in the cluster reach it.
	// +optional
	Status ExternalServiceStatus `json:"status,omitzero"`
}

// ExternalServiceList is a list of ExternalServices.
//
// +kubebuilder:object:root=true
type ExternalServiceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ExternalService `json:"items"`
}

// ExternalServiceSpec is what applications call, and where it is.
type ExternalServiceSpec struct {
	// Hosts are the DNS names by which applications know the service.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Hosts []string `json:"hosts"`
	// Addresses are those that the proxy listens on for it. On Kubernetes they are ignored: status has the address.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Addresses []string `json:"addresses,omitempty"`
	// Ports of the service.
	// +listType=map
	// +listMapKey=number
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Ports []ExternalPort `json:"ports"`
	// Resolution is DNS, the default: endpoints may be DNS names, which are looked up again when their answers expire; or STATIC: all
	// endpoints are IP addresses.
	// +optional
	// +kubebuilder:validation:Enum=DNS;STATIC
	Resolution string `json:"resolution,omitempty"`
	// Endpoints are where the service is; absent with DNS: at the hosts.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Endpoints []ExternalEndpoint `json:"endpoints,omitempty"`
	// TLS is what the proxy adds to connections to the endpoints.
	// +optional
	TLS *ClientTLS `json:"tls,omitempty"`
}

// ExternalPort is one port. It follows Istio's message ServicePort.
type ExternalPort struct {
	// Number of the port that applications call.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Number uint32 `json:"number"`
	// Name is the port's own, for the ports of endpoints.
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// Protocol is HTTP, HTTP2 or GRPC: requests are carried one by one; or TCP, TLS or HTTPS: connections are carried as they are.
	// +optional
	// +kubebuilder:validation:Enum=HTTP;HTTP2;GRPC;TCP;TLS;HTTPS
	Protocol string `json:"protocol,omitempty"`
	// TargetPort is that of endpoints that do not have one for it; the default is the number.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	TargetPort uint32 `json:"targetPort,omitempty"`
}

// ExternalEndpoint is one endpoint, or as many as its name has addresses. It follows Istio's message WorkloadEntry.
type ExternalEndpoint struct {
	// Address is an IP address, or with DNS a name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Address string `json:"address"`
	// Ports are the endpoint's, by the names of the service's ports.
	// +optional
	// +kubebuilder:validation:MaxProperties=256
	Ports map[string]uint32 `json:"ports,omitempty"`
	// Locality is where it is, REGION or REGION/ZONE; absent: it is not known, and everything with a locality nearby comes first.
	// +optional
	// +kubebuilder:validation:MaxLength=127
	Locality string `json:"locality,omitempty"`
}

// Values of ExternalServiceSpec.Resolution.
const (
	ResolutionDNS    = "DNS"
	ResolutionStatic = "STATIC"
)

// externalProtocols are the values of ExternalPort.Protocol; of the first ones, requests are carried one by one.
func externalProtocols() (http, others []string) {
	return []string{"HTTP", "HTTP2", "GRPC"}, []string{"TCP", "TLS", "HTTPS"}
}

// IsHTTP is true for a port whose requests are carried one by one.
func (p *ExternalPort) IsHTTP() bool {
	http, _ := externalProtocols()
	return slices.Contains(http, p.Protocol)
}

// AppProtocol is the protocol as a port of a Service has it.
func (p *ExternalPort) AppProtocol() string { return strings.ToLower(p.Protocol) }

// Target is the port of an endpoint to which calls go.
func (p *ExternalPort) Target(e *ExternalEndpoint) uint16 {
	switch own := e.Ports[p.Name]; {
	case own != 0:
		return uint16(own)
	case p.TargetPort != 0:
		return uint16(p.TargetPort)
	default:
		return uint16(p.Number)
	}
}

// Where are the endpoints, or what is looked up instead.
func (s *ExternalServiceSpec) Where() []ExternalEndpoint {
	if len(s.Endpoints) > 0 {
		return s.Endpoints
	}
	out := make([]ExternalEndpoint, 0, len(s.Hosts))
	for _, h := range s.Hosts {
		out = append(out, ExternalEndpoint{Address: h})
	}
	return out
}

// ValidateExternalService checks everything but whether something else has its name or its addresses.
func ValidateExternalService(e *ExternalService) field.ErrorList {
	errs := label(field.NewPath("metadata", "name"), e.Name)
	spec := field.NewPath("spec")
	resolution := spec.Child("resolution")
	switch e.Spec.Resolution {
	case "", ResolutionDNS:
	case ResolutionStatic:
		if len(e.Spec.Endpoints) == 0 {
			errs = append(errs, field.Required(spec.Child("endpoints"), "with resolution STATIC: the IP addresses of the service"))
		}
	case "NONE", "DNS_ROUND_ROBIN", "DYNAMIC_DNS":
		errs = append(errs, field.Invalid(resolution, e.Spec.Resolution,
			"is not supported: name the endpoints, with DNS (looked up again when answers expire) or STATIC"))
	default:
		errs = append(errs, field.NotSupported(resolution, short(e.Spec.Resolution), []string{ResolutionDNS, ResolutionStatic}))
	}
	errs = append(errs, validateHosts(spec.Child("hosts"), e.Spec.Hosts)...)
	errs = append(errs, validateVIPs(spec.Child("addresses"), e.Spec.Addresses)...)
	errs = append(errs, validateExternalPorts(spec.Child("ports"), e.Spec.Ports)...)
	errs = append(errs, validateEndpoints(spec.Child("endpoints"), &e.Spec)...)
	return append(errs, validateClientTLS(spec.Child("tls"), &e.Spec)...)
}

func validateHosts(at *field.Path, hosts []string) field.ErrorList {
	switch n := len(hosts); {
	case n == 0:
		return field.ErrorList{field.Required(at, "the DNS name by which applications know the service")}
	case n > MaxExternalHosts:
		return field.ErrorList{field.TooMany(at, n, MaxExternalHosts)}
	}
	var errs field.ErrorList
	for i, h := range hosts {
		switch {
		case strings.HasPrefix(h, "*."):
			errs = append(errs, field.Invalid(at.Index(i), short(h), "must be one name: nothing says where the names of a wildcard are"))
		case slices.Contains(hosts[:i], h):
			errs = append(errs, field.Duplicate(at.Index(i), h))
		default:
			errs = append(errs, named(at.Index(i), h, "", dnsName)...)
		}
	}
	return errs
}

// dnsName is what is wrong with a name of DNS.
func dnsName(s string) []string {
	if _, err := netip.ParseAddr(s); err == nil {
		return []string{"must be a DNS name, not an IP address"}
	}
	return validation.IsDNS1123Subdomain(strings.ToLower(strings.TrimSuffix(s, ".")))
}

// validateVIPs checks what the proxy listens on.
func validateVIPs(at *field.Path, addresses []string) field.ErrorList {
	if n := len(addresses); n > MaxExternalAddresses {
		return field.ErrorList{field.TooMany(at, n, MaxExternalAddresses)}
	}
	var errs field.ErrorList
	for i, a := range addresses {
		switch ip, err := netip.ParseAddr(a); {
		case err != nil || !dialable(ip):
			errs = append(errs, field.Invalid(at.Index(i), short(a), "must be an IP address that the proxy can listen on"))
		case slices.Contains(addresses[:i], a):
			errs = append(errs, field.Duplicate(at.Index(i), a))
		}
	}
	return errs
}

// dialable is true for an address that a connection can be made to.
func dialable(ip netip.Addr) bool {
	ip = ip.WithZone("").Unmap() // "::" with a zone, or mapped, would be none of these
	return !ip.IsUnspecified() && !ip.IsMulticast()
}

func validateExternalPorts(at *field.Path, ports []ExternalPort) field.ErrorList {
	switch n := len(ports); {
	case n == 0:
		return field.ErrorList{field.Required(at, "the ports that applications call")}
	case n > MaxExternalPorts:
		return field.ErrorList{field.TooMany(at, n, MaxExternalPorts)}
	}
	var errs field.ErrorList
	names, numbers := map[string]bool{}, map[uint32]bool{}
	for i := range ports {
		p, here := &ports[i], at.Index(i)
		if p.Number < 1 || p.Number > 65535 {
			errs = append(errs, field.Invalid(here.Child("number"), p.Number, "must be between 1 and 65535"))
		} else if numbers[p.Number] {
			errs = append(errs, field.Duplicate(here.Child("number"), p.Number))
		}
		errs = append(errs, named(here.Child("name"), p.Name, "such as http", validation.IsValidPortName)...)
		if names[p.Name] {
			errs = append(errs, field.Duplicate(here.Child("name"), p.Name))
		}
		if known := slices.Concat(externalProtocols()); p.Protocol != "" && !slices.Contains(known, p.Protocol) {
			errs = append(errs, field.NotSupported(here.Child("protocol"), short(p.Protocol), known))
		}
		if p.TargetPort > 65535 {
			errs = append(errs, field.Invalid(here.Child("targetPort"), p.TargetPort, "must be between 1 and 65535"))
		}
		names[p.Name], numbers[p.Number] = true, true
	}
	return errs
}

func validateEndpoints(at *field.Path, s *ExternalServiceSpec) field.ErrorList {
	if n := len(s.Endpoints); n > MaxExternalEndpoints {
		return field.ErrorList{field.TooMany(at, n, MaxExternalEndpoints)}
	}
	var errs field.ErrorList
	for i := range s.Endpoints {
		e, here := &s.Endpoints[i], at.Index(i)
		errs = append(errs, validateEndpointAddress(here.Child("address"), e.Address, s.Resolution == ResolutionStatic)...)
		if e.Locality != "" {
			if _, err := ParseLocality(e.Locality); err != nil || strings.Contains(e.Locality, "*") {
				errs = append(errs, field.Invalid(here.Child("locality"), short(e.Locality),
					"must be REGION or REGION/ZONE, such as eu-west/eu-west-1a"))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(e.Ports)) {
			known := slices.ContainsFunc(s.Ports, func(p ExternalPort) bool { return p.Name == name })
			switch port := e.Ports[name]; {
			case !known:
				errs = append(errs, field.Invalid(here.Child("ports").Key(name), port,
					fmt.Sprintf("no port of the service has the name %q", short(name))))
			case port < 1 || port > 65535:
				errs = append(errs, field.Invalid(here.Child("ports").Key(name), port, "must be between 1 and 65535"))
			}
		}
	}
	return errs
}

func validateEndpointAddress(at *field.Path, address string, static bool) field.ErrorList {
	switch ip, err := netip.ParseAddr(address); {
	case address == "":
		return field.ErrorList{field.Required(at, "an IP address or a DNS name")}
	case err == nil && !dialable(ip):
		return field.ErrorList{field.Invalid(at, short(address), "must be an address that can be dialed")}
	case err == nil:
		return nil
	case static:
		return field.ErrorList{field.Invalid(at, short(address), "must be an IP address: with resolution STATIC names are not looked up")}
	case strings.Contains(address, ":"):
		return field.ErrorList{field.Invalid(at, short(address), "must be an IP address or a DNS name, without a port: that is in ports")}
	default:
		return named(at, address, "", dnsName)
	}
}
