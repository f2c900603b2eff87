package takeover

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/takeover/eligible"
)

// servicesOf selects the inventory's services: those with the annotation, whose ports on the proxies are in
// what the controller derived from them in the installation's namespace, and what it derived from imports and
// ExternalServices, which would otherwise wait for kube-proxy to notice that a proxy is gone.
func servicesOf(all []*corev1.Service, namespace string) []Service {
	derived := map[string]*corev1.Service{}
	var taken, imported []Service
	for _, s := range all {
		switch kind, name := eligible.DerivedFrom(s, namespace); kind {
		case v1alpha1.DerivedTakeover:
			// There is one; should there be two, every node has to choose the same.
			if d := derived[name]; d == nil || s.Name < d.Name {
				derived[name] = s
			}
		case v1alpha1.DerivedImport, v1alpha1.DerivedPod, v1alpha1.DerivedExternal:
			if !eligible.Local(s) {
				one := Service{Name: s.Namespace + "/" + s.Name, Carries: name, Alone: true} // kube-proxy has only the proxies, too
				one.take(s, s)
				imported = append(imported, one)
			}
		}
	}
	for _, s := range all {
		if eligible.Wanted(s) {
			taken = append(taken, serviceOf(s, derived[s.Namespace+"/"+s.Name], namespace))
		}
	}
	byName := func(a, b Service) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(taken, byName)
	slices.SortFunc(imported, byName)
	return append(taken, imported...)
}

func serviceOf(s, derived *corev1.Service, namespace string) Service {
	refused, _ := eligible.Check(s, namespace)
	out := Service{Name: s.Namespace + "/" + s.Name, Refused: refused}
	if refused == "" {
		out.Waiting = derived == nil
		out.Alone = derived != nil && derived.Annotations[v1alpha1.LocalEndpointsAnnotation] == v1alpha1.NoLocalEndpoints
		out.take(s, derived)
	}
	return out
}

// take takes what callers of the Service use, and the ports on the proxies from derived.
func (s *Service) take(from, derived *corev1.Service) {
	s.Affinity = from.Spec.SessionAffinity == corev1.ServiceAffinityClientIP
	for _, ip := range from.Spec.ClusterIPs {
		if a, err := netip.ParseAddr(ip); err == nil && a.Zone() == "" && !a.Unmap().IsUnspecified() {
			s.Addresses = append(s.Addresses, a.Unmap())
		}
	}
	for _, p := range from.Spec.Ports {
		port := Port{Protocol: string(p.Protocol), Port: uint16(p.Port)} // the API server has validated it
		if eligible.Carried(p) {
			port.Protocol, port.Target = string(corev1.ProtocolTCP), targetOf(derived, p.Port)
		}
		s.Ports = append(s.Ports, port)
	}
}

// targetOf is where proxies listen for the port; 0 if nowhere.
func targetOf(derived *corev1.Service, port int32) uint16 {
	if derived == nil {
		return 0
	}
	for _, p := range derived.Spec.Ports {
		if target := p.TargetPort.IntValue(); p.Port == port && eligible.Carried(p) && target > 0 && target <= 0xffff {
			return uint16(target)
		}
	}
	return 0
}

// trimService keeps what the agent needs of a Service, and only the name of irrelevant ones:
// clusters have thousands.
func trimService(namespace string) func(any) (any, error) {
	return func(object any) (any, error) {
		s, ok := object.(*corev1.Service)
		if !ok {
			return object, nil // a tombstone, which holds what was trimmed before
		}
		out := &corev1.Service{}
		out.Name, out.Namespace, out.UID, out.ResourceVersion = s.Name, s.Namespace, s.UID, s.ResourceVersion
		if kind, _ := eligible.DerivedFrom(s, namespace); kind == "" && !eligible.Wanted(s) {
			return out, nil
		}
		out.Labels, out.Annotations = s.Labels, map[string]string{}
		if eligible.Wanted(s) {
			out.Annotations[v1alpha1.TakeoverAnnotation] = "true"
		}
		if local := s.Annotations[v1alpha1.LocalEndpointsAnnotation]; local != "" {
			out.Annotations[v1alpha1.LocalEndpointsAnnotation] = local
		}
		out.Spec = corev1.ServiceSpec{
			Type: s.Spec.Type, ClusterIP: s.Spec.ClusterIP, ClusterIPs: s.Spec.ClusterIPs, Ports: s.Spec.Ports,
			SessionAffinity: s.Spec.SessionAffinity, InternalTrafficPolicy: s.Spec.InternalTrafficPolicy,
		}
		return out, nil
	}
}

// relevant reports whether a trimmed Service matters to the agent.
func relevant(object any) bool {
	s, ok := object.(*corev1.Service)
	return !ok || s.Annotations != nil
}

// portName is how a port is called in statuses and logs.
func portName(p Port) string { return fmt.Sprintf("%d/%s", p.Port, p.Protocol) }
