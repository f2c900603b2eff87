// Package eligible is the rule of which Services can be taken over. The node agent applies it, and commands explain it. It reads
// nothing but the Service that it is given.
package eligible

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Wanted is true if the Service has the takeover annotation.
func Wanted(s *corev1.Service) bool { return s.Annotations[v1alpha1.TakeoverAnnotation] == "true" }

// Check returns why a Service cannot be taken over, and what to do about it; "" if it can. namespace is the installation's.
func Check(s *corev1.Service, namespace string) (reason, remedy string) {
	kind, of := DerivedFrom(s, namespace)
	switch {
	case kind == v1alpha1.DerivedTakeover:
		return "Eastway made it for " + of + ", which is taken over already", ""
	case kind == v1alpha1.DerivedImport, kind == v1alpha1.DerivedPod:
		return "Eastway made it for the import of " + of, "name the Service itself: eastway takeover " + of
	case kind == v1alpha1.DerivedExternal:
		return "Eastway made it for the ExternalService " + of, "callers reach that at its status.addresses already"
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
	case Local(s):
		return "internalTrafficPolicy is Local: its calls must not leave the node",
			fmt.Sprintf("if they may: kubectl -n %s patch service %s --type merge -p '{\"spec\":{\"internalTrafficPolicy\":\"Cluster\"}}'",
				s.Namespace, s.Name)
	case !slices.ContainsFunc(s.Spec.Ports, Carried):
		return "it has no TCP port: only TCP is taken over", "UDP and SCTP stay in this cluster; nothing has to be done for that"
	}
	return "", ""
}

// Carried is true if calls to the port can be sent to a proxy.
func Carried(p corev1.ServicePort) bool { return p.Protocol == corev1.ProtocolTCP || p.Protocol == "" }

// DerivedFrom returns the kind of derived Service that s is, and the NAMESPACE/NAME of the service that it stands for; "" if the
// controller did not make it.
func DerivedFrom(s *corev1.Service, namespace string) (kind, name string) {
	ns, name := s.Labels[v1alpha1.ServiceNamespaceLabel], s.Labels[v1alpha1.ServiceNameLabel]
	if s.Namespace != namespace || ns == "" || name == "" {
		return "", ""
	}
	return s.Labels[v1alpha1.DerivedLabel], ns + "/" + name
}

// Local is true if calls to the Service must not leave the node.
func Local(s *corev1.Service) bool {
	return s.Spec.InternalTrafficPolicy != nil && *s.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal
}
