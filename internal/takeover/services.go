package takeover

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Wanted tells whether the Service has the annotation.
func Wanted(s *corev1.Service) bool { return s.Annotations[v1alpha1.TakeoverAnnotation] == "true" }

// Refusal says in plain words why a Service can't be taken over; "" if it can. namespace is the installation's.
func Refusal(s *corev1.Service, namespace string) string {
	why, _ := Judge(s, namespace)
	return why
}

// Judge is Refusal with what to do about it.
func Judge(s *corev1.Service, namespace string) (why, remedy string) {
	kind, of := derivedFrom(s, namespace)
	switch {
	case kind == v1alpha1.DerivedTakeover:
		return "Eastway made it for " + of + ", which is taken over already", ""
	case kind == v1alpha1.DerivedImport, kind == v1alpha1.DerivedPod:
		return "Eastway made it for the import of " + of, "name the Service itself: eastway takeover " + of
	case s.Namespace == namespace:
		return "Eastway's own namespace: its Services are not taken over", "name a Service of an application"
	case s.Namespace == "default" && s.Name == "kubernetes":
		return "the API server's own Service is not taken over",
			"every cluster has its own API server: to reach another one's, export a Service of another name there that leads to it"
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		return "it is of type ExternalName: it has no cluster IP that could be answered",
			"make it a Service of type ClusterIP, without a selector if its pods are in peers only"
	case s.Spec.ClusterIP == corev1.ClusterIPNone:
		return "it is headless: clients resolve its pods themselves, there is no cluster IP that could be answered",
			fmt.Sprintf("where it is exported, clients find its pods in all clusters under %s.%s.svc.clusterset.local; "+
				"or give callers a Service of its own with a cluster IP", s.Name, s.Namespace)
	case isLocal(s):
		return "internalTrafficPolicy is Local: its calls must not leave the node",
			fmt.Sprintf("if they may: kubectl -n %s patch service %s --type merge -p '{\"spec\":{\"internalTrafficPolicy\":\"Cluster\"}}'",
				s.Namespace, s.Name)
	case !slices.ContainsFunc(s.Spec.Ports, carried):
		return "it has no TCP port: only TCP is taken over", "UDP and SCTP stay in this cluster; nothing has to be done for that"
	}
	return "", ""
}

// carried tells whether calls to the port can be sent to a proxy.
func carried(p corev1.ServicePort) bool { return p.Protocol == corev1.ProtocolTCP || p.Protocol == "" }

// servicesOf makes the inventory's services out of all Services: those with the annotation, whose ports on the proxies are in
// what the controller derived from them in the installation's namespace, and what it derived from imports, which would
// otherwise wait for kube-proxy to notice that a proxy is gone.
func servicesOf(all []*corev1.Service, namespace string) []Service {
	derived := map[string]*corev1.Service{}
	var taken, imported []Service
	for _, s := range all {
		switch kind, name := derivedFrom(s, namespace); kind {
		case v1alpha1.DerivedTakeover:
			// There is one; should there be two, every node has to choose the same.
			if d := derived[name]; d == nil || s.Name < d.Name {
				derived[name] = s
			}
		case v1alpha1.DerivedImport, v1alpha1.DerivedPod:
			if !isLocal(s) {
				one := Service{Name: s.Namespace + "/" + s.Name, Carries: name}
				one.take(s, s)
				imported = append(imported, one)
			}
		}
	}
	for _, s := range all {
		if Wanted(s) {
			taken = append(taken, serviceOf(s, derived[s.Namespace+"/"+s.Name], namespace))
		}
	}
	byName := func(a, b Service) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(taken, byName)
	slices.SortFunc(imported, byName)
	return append(taken, imported...)
}

// derivedFrom says what kind of derived Service s is, and for which service it stands; "" when it is none.
func derivedFrom(s *corev1.Service, namespace string) (kind, name string) {
	ns, name := s.Labels[v1alpha1.ServiceNamespaceLabel], s.Labels[v1alpha1.ServiceNameLabel]
	if s.Namespace != namespace || ns == "" || name == "" {
		return "", ""
	}
	return s.Labels[v1alpha1.DerivedLabel], ns + "/" + name
}

// isLocal: its calls must not leave the node.
func isLocal(s *corev1.Service) bool {
	return s.Spec.InternalTrafficPolicy != nil && *s.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal
}

func serviceOf(s, derived *corev1.Service, namespace string) Service {
	out := Service{Name: s.Namespace + "/" + s.Name, Refused: Refusal(s, namespace)}
	if out.Refused == "" {
		out.Waiting = derived == nil
		out.take(s, derived)
	}
	return out
}

// take takes what callers of s use, and the ports on the proxies from derived.
func (out *Service) take(s, derived *corev1.Service) {
	out.Affinity = s.Spec.SessionAffinity == corev1.ServiceAffinityClientIP
	for _, ip := range s.Spec.ClusterIPs {
		if a, err := netip.ParseAddr(ip); err == nil && !a.IsUnspecified() {
			out.Addresses = append(out.Addresses, a.Unmap())
		}
	}
	for _, p := range s.Spec.Ports {
		port := Port{Protocol: string(p.Protocol), Port: uint16(p.Port)} //nolint:gosec // the API server has validated it
		if carried(p) {
			port.Protocol, port.Target = string(corev1.ProtocolTCP), targetOf(derived, p.Port)
		}
		out.Ports = append(out.Ports, port)
	}
}

// targetOf is where proxies listen for the port; 0 if nowhere.
func targetOf(derived *corev1.Service, port int32) uint16 {
	if derived == nil {
		return 0
	}
	for _, p := range derived.Spec.Ports {
		if target := p.TargetPort.IntValue(); p.Port == port && carried(p) && target > 0 && target <= 0xffff {
			return uint16(target)
		}
	}
	return 0
}

// trimService keeps of a Service what the agent needs, and of those that don't concern it only the name:
// clusters have thousands.
func trimService(namespace string) func(any) (any, error) {
	return func(object any) (any, error) {
		s, ok := object.(*corev1.Service)
		if !ok {
			return object, nil // a tombstone, which holds what was trimmed before
		}
		out := &corev1.Service{}
		out.Name, out.Namespace, out.UID, out.ResourceVersion = s.Name, s.Namespace, s.UID, s.ResourceVersion
		if kind, _ := derivedFrom(s, namespace); kind == "" && !Wanted(s) {
			return out, nil
		}
		out.Labels, out.Annotations = s.Labels, map[string]string{}
		if Wanted(s) {
			out.Annotations[v1alpha1.TakeoverAnnotation] = "true"
		}
		out.Spec = corev1.ServiceSpec{
			Type: s.Spec.Type, ClusterIP: s.Spec.ClusterIP, ClusterIPs: s.Spec.ClusterIPs, Ports: s.Spec.Ports,
			SessionAffinity: s.Spec.SessionAffinity, InternalTrafficPolicy: s.Spec.InternalTrafficPolicy,
		}
		return out, nil
	}
}

// concerns tells whether a trimmed Service matters to the agent.
func concerns(object any) bool {
	s, ok := object.(*corev1.Service)
	return !ok || s.Annotations != nil
}

// portName is how a port is called in statuses and logs.
func portName(p Port) string { return fmt.Sprintf("%d/%s", p.Port, p.Protocol) }
