package translate

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Service is a checked Service as it stands in its own object: ports and spec, neither addresses nor endpoints.
func Service(name discovery.ServiceName, s *corev1.Service) *discovery.Service {
	out := &discovery.Service{Name: name, Spec: serviceSpec(&s.Spec), ProxyProtocol: wantsProxyProtocol(s)}
	annotated, _ := annotatedProtocols(s) // checked
	for i := range s.Spec.Ports {
		p := servicePort(&s.Spec.Ports[i])
		// A header is of one caller, and requests of several share connections.
		p.HTTP = !out.ProxyProtocol && isHTTP(&s.Spec.Ports[i], annotated[p.Port])
		out.Ports = append(out.Ports, p)
	}
	return out
}

func serviceSpec(s *corev1.ServiceSpec) discovery.ServiceSpec {
	spec := discovery.ServiceSpec{Headless: s.ClusterIP == corev1.ClusterIPNone}
	if s.SessionAffinity == corev1.ServiceAffinityClientIP {
		spec.SessionAffinity = string(s.SessionAffinity)
		seconds := corev1.DefaultClientIPServiceAffinitySeconds
		if c := s.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
			seconds = *c.ClientIP.TimeoutSeconds
		}
		spec.SessionAffinityTimeout = time.Duration(seconds) * time.Second
	}
	if p := s.InternalTrafficPolicy; p != nil && *p == corev1.ServiceInternalTrafficPolicyLocal {
		spec.InternalTrafficPolicy = string(*p)
	}
	if s.TrafficDistribution != nil {
		spec.TrafficDistribution = *s.TrafficDistribution
	}
	for _, f := range s.IPFamilies {
		spec.IPFamilies = append(spec.IPFamilies, string(f))
	}
	return spec
}

// servicePort is the port without how it is carried, which the Service as a whole decides.
func servicePort(p *corev1.ServicePort) discovery.ServicePort {
	port := uint16(p.Port) // validated
	sp := discovery.ServicePort{Name: p.Name, Port: port, Protocol: cmp.Or(string(p.Protocol), discovery.TCP)}
	if p.AppProtocol != nil {
		sp.AppProtocol = *p.AppProtocol
	}
	return sp
}

// Export is a checked ServiceExport.
func Export(e *mcsv1beta1.ServiceExport) *discovery.Export {
	out := &discovery.Export{Labels: e.Spec.ExportedLabels, Annotations: e.Spec.ExportedAnnotations}
	if value, ok := e.Annotations[v1alpha1.ExportToAnnotation]; ok {
		out.To, _ = v1alpha1.ParseExportTo(value) // checked
	}
	out.ToDryRun = e.Annotations[v1alpha1.ExportToDryRunAnnotation] == "true"
	if !e.CreationTimestamp.IsZero() {
		out.Created = e.CreationTimestamp.UTC()
	}
	return out
}

// ClusterIP is one address of a Service where its object has it.
type ClusterIP struct {
	Path *field.Path
	Text string
	Addr netip.Addr
	Err  error
}

// ClusterIPs are the addresses that callers use, each once; none for a headless service.
func ClusterIPs(s *corev1.Service) []ClusterIP {
	spec := field.NewPath("spec")
	var ips []ClusterIP
	add := func(at *field.Path, text string) {
		known := slices.ContainsFunc(ips, func(ip ClusterIP) bool { return ip.Text == text })
		if text == "" || text == corev1.ClusterIPNone || known {
			return
		}
		addr, err := netip.ParseAddr(text)
		if err == nil && !unicast(addr) {
			err = errors.New("not a unicast address")
		}
		ips = append(ips, ClusterIP{at, text, addr.Unmap(), err})
	}
	add(spec.Child("clusterIP"), s.Spec.ClusterIP)
	for i, text := range s.Spec.ClusterIPs {
		add(spec.Child("clusterIPs").Index(i), text)
	}
	return ips
}

func unicast(a netip.Addr) bool {
	return a.Zone() == "" && !a.Unmap().IsUnspecified() && !a.Unmap().IsMulticast()
}
