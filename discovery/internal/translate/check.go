package translate

import (
	"errors"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// maxSliceEndpoints is Kubernetes' own bound on one EndpointSlice.
const maxSliceEndpoints = 1000

// Checker checks single objects.
type Checker struct {
	// Cluster and SPIFFEID are the own ones, which no Peer may have.
	Cluster  string
	SPIFFEID string
	// Kubernetes: the objects are those of a cluster, and not of files.
	Kubernetes bool
	// ValidatePeer returns what is wrong with the identity or the trust bundle of a Peer; a *field.Error names the field.
	ValidatePeer func(name, spiffeID, bundle string) error
}

// Check of a *Service, *Node, *EndpointSlice, *ServiceExport, *Peer, *TrafficPolicy or *ExternalService; namespace is the one that it belongs to.
func (c *Checker) Check(namespace string, v any) field.ErrorList {
	var errs field.ErrorList
	if namespace != "" {
		errs = append(errs, checkString(field.NewPath("metadata", "namespace"), namespace, validation.IsDNS1123Label)...)
	}
	switch o := v.(type) {
	case *corev1.Service:
		errs = append(errs, checkService(o)...)
	case *corev1.Node:
		errs = append(errs, checkTopology(o.Labels)...)
	case *discoveryv1.EndpointSlice:
		errs = append(errs, checkSlice(o)...)
	case *mcsv1beta1.ServiceExport:
		errs = append(errs, checkExport(o)...)
	case *v1alpha1.Peer:
		errs = append(errs, c.checkPeer(o)...)
	case *v1alpha1.TrafficPolicy:
		errs = append(errs, v1alpha1.ValidateTrafficPolicy(o)...)
	case *v1alpha1.ExternalService:
		if c.Kubernetes {
			return append(errs, v1alpha1.ValidateClusterExternalService(o)...)
		}
		errs = append(errs, v1alpha1.ValidateExternalService(o)...)
	}
	return errs
}

func checkExport(e *mcsv1beta1.ServiceExport) field.ErrorList {
	errs := checkString(field.NewPath("metadata", "name"), e.Name, validation.IsDNS1123Label)
	if value, ok := e.Annotations[v1alpha1.ExportToAnnotation]; ok {
		if _, err := v1alpha1.ParseExportTo(value); err != nil {
			errs = append(errs, InvalidField(field.NewPath("metadata", "annotations").Key(v1alpha1.ExportToAnnotation), "%v", err))
		}
	}
	errs = append(errs, checkBool(e, v1alpha1.ExportToDryRunAnnotation)...)
	return append(errs, checkAnnotations(e, exportAnnotations())...)
}

func checkString(at *field.Path, value string, valid func(string) []string) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range valid(value) {
		errs = append(errs, field.Invalid(at, value, msg))
	}
	return errs
}

func checkService(s *corev1.Service) field.ErrorList {
	errs := checkString(field.NewPath("metadata", "name"), s.Name, validation.IsDNS1123Label)
	spec := field.NewPath("spec")
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return errs
	}
	if n := len(s.Spec.ClusterIPs); n > discovery.MaxAddresses {
		return append(errs, field.TooMany(spec.Child("clusterIPs"), n, discovery.MaxAddresses))
	}
	for _, a := range ClusterIPs(s) {
		if a.Err != nil {
			errs = append(errs, field.Invalid(a.Path, a.Text, "must be an IP address or None"))
		}
	}
	ports := spec.Child("ports")
	switch n := len(s.Spec.Ports); {
	case n == 0 && s.Spec.ClusterIP != corev1.ClusterIPNone:
		errs = append(errs, field.Required(ports, ""))
	case n > discovery.MaxPorts:
		return append(errs, field.TooMany(ports, n, discovery.MaxPorts))
	}
	names, numbers := map[string]bool{}, map[discovery.ServicePort]bool{}
	for i := range s.Spec.Ports {
		p, at := servicePort(&s.Spec.Ports[i]), ports.Index(i)
		switch {
		case p.Name == "" && len(s.Spec.Ports) > 1:
			errs = append(errs, field.Required(at.Child("name"), "a service with several ports names each"))
		case p.Name != "" && names[p.Name]:
			errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
		case p.Name != "":
			errs = append(errs, checkString(at.Child("name"), p.Name, validation.IsDNS1123Label)...)
		}
		names[p.Name] = true
		errs = append(errs, checkPort(at, s.Spec.Ports[i].Port, p)...)
		number := discovery.ServicePort{Port: p.Port, Protocol: p.Protocol}
		if numbers[number] {
			errs = append(errs, field.Duplicate(at.Child("port"), p.Port))
		}
		numbers[number] = true
	}
	return append(errs, append(checkProtocols(s), checkProxyProtocol(s)...)...)
}

func checkPort(at *field.Path, number int32, p discovery.ServicePort) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range validation.IsValidPortNum(int(number)) {
		errs = append(errs, field.Invalid(at.Child("port"), number, msg))
	}
	switch p.Protocol {
	case discovery.TCP, discovery.UDP, discovery.SCTP:
	default:
		known := []string{discovery.TCP, discovery.UDP, discovery.SCTP}
		errs = append(errs, field.NotSupported(at.Child("protocol"), p.Protocol, known))
	}
	if p.AppProtocol != "" {
		errs = append(errs, checkString(at.Child("appProtocol"), p.AppProtocol, validation.IsQualifiedName)...)
	}
	return errs
}

func checkSlice(s *discoveryv1.EndpointSlice) field.ErrorList {
	var errs field.ErrorList
	if s.Labels[discoveryv1.LabelServiceName] == "" {
		errs = append(errs, field.Required(field.NewPath("metadata", "labels").Key(discoveryv1.LabelServiceName),
			"the Service that the endpoints belong to"))
	}
	errs = append(errs, checkTopology(s.Labels)...)
	errs = append(errs, checkTopology(s.Annotations)...)
	switch s.AddressType {
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6:
	default:
		errs = append(errs, field.NotSupported(field.NewPath("addressType"), s.AddressType,
			[]discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6}))
		return errs
	}
	if n := len(s.Endpoints); n > maxSliceEndpoints {
		return append(errs, field.TooMany(field.NewPath("endpoints"), n, maxSliceEndpoints))
	}
	for i := range s.Endpoints {
		errs = append(errs, checkEndpoint(field.NewPath("endpoints").Index(i), &s.Endpoints[i], s.AddressType)...)
	}
	return append(errs, checkSlicePorts(s.Ports)...)
}

func checkEndpoint(at *field.Path, e *discoveryv1.Endpoint, family discoveryv1.AddressType) field.ErrorList {
	var errs field.ErrorList
	if len(e.Addresses) == 0 {
		errs = append(errs, field.Required(at.Child("addresses"), ""))
	}
	for j, a := range e.Addresses {
		addr, err := netip.ParseAddr(a)
		if err != nil || addr.Is4() != (family == discoveryv1.AddressTypeIPv4) || !unicast(addr) {
			errs = append(errs, field.Invalid(at.Child("addresses").Index(j), a, "must be a unicast "+string(family)+" address"))
		}
	}
	if e.Zone != nil {
		errs = append(errs, checkString(at.Child("zone"), *e.Zone, validation.IsValidLabelValue)...)
	}
	return errs
}

func checkSlicePorts(ports []discoveryv1.EndpointPort) field.ErrorList {
	if n := len(ports); n > discovery.MaxPorts {
		return field.ErrorList{field.TooMany(field.NewPath("ports"), n, discovery.MaxPorts)}
	}
	var errs field.ErrorList
	for i, p := range ports {
		at := field.NewPath("ports").Index(i).Child("port")
		if p.Port == nil {
			errs = append(errs, field.Required(at, ""))
			continue
		}
		for _, msg := range validation.IsValidPortNum(int(*p.Port)) {
			errs = append(errs, field.Invalid(at, *p.Port, msg))
		}
	}
	return errs
}

func checkTopology(labels map[string]string) field.ErrorList {
	var errs field.ErrorList
	for _, l := range []string{corev1.LabelTopologyRegion, corev1.LabelTopologyZone} {
		errs = append(errs, checkString(field.NewPath("metadata", "labels").Key(l), labels[l], validation.IsValidLabelValue)...)
	}
	return errs
}

func (c *Checker) checkPeer(p *v1alpha1.Peer) field.ErrorList {
	errs := v1alpha1.ValidatePeer(p)
	spec := field.NewPath("spec")
	switch {
	case c.Cluster != "" && p.Name == c.Cluster:
		errs = append(errs, InvalidField(field.NewPath("metadata", "name"),
			"%q is this cluster itself: a Peer is another cluster; give one of the two another name", p.Name))
	case c.SPIFFEID != "" && p.Spec.SPIFFEID == c.SPIFFEID:
		errs = append(errs, InvalidField(spec.Child("spiffeID"),
			"%q is this cluster's own identity: import the manifest that `eastway peer export` prints in the other cluster",
			p.Spec.SPIFFEID))
	}
	if len(errs) > 0 || c.ValidatePeer == nil {
		return errs
	}
	if err := c.ValidatePeer(p.Name, p.Spec.SPIFFEID, p.Spec.TrustBundle); err != nil {
		var fe *field.Error
		if !errors.As(err, &fe) {
			fe = InvalidField(spec, "%v", err)
		}
		errs = append(errs, fe)
	}
	return errs
}
