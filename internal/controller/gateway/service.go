package gateway

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/controller/apply"
	"github.com/eastway/eastway/internal/controller/names"
	"github.com/eastway/eastway/internal/entry/route"
)

const (
	managedByLabel = "app.kubernetes.io/managed-by"
	// ownPrefix begins keys of labels and annotations that only Eastway gives meaning to.
	ownPrefix = "eastway.dev/"
	// metadataAnnotation lists the keys that spec.infrastructure gave to a Service, to notice those that it no longer has.
	metadataAnnotation = ownPrefix + "infrastructure"
)

// serviceName is what the Service of a Gateway is called.
func serviceName(g *gatewayv1.Gateway) string {
	return names.Hashed("ew-"+g.Name, "gateway", g.Namespace, g.Name)
}

// refusal is why a Gateway cannot be served, whatever its listeners are; "": it can.
func refusal(class *gatewayv1.GatewayClass, g *gatewayv1.Gateway) string {
	if class.Spec.ParametersRef != nil {
		return "its GatewayClass is not accepted: remove spec.parametersRef there"
	}
	if i := g.Spec.Infrastructure; i != nil && i.ParametersRef != nil {
		return "spec.infrastructure.parametersRef: not supported: remove it"
	}
	if i := route.ChosenAddress(g.Spec.Addresses); i >= 0 {
		return fmt.Sprintf("spec.addresses[%d]: addresses cannot be chosen: remove it, or leave out its value", i)
	}
	if len(served(g.Spec.Listeners)) == 0 {
		return "spec.listeners: none has the protocol HTTP or HTTPS"
	}
	return ""
}

// labels of the Service of a Gateway.
func labels(g *gatewayv1.Gateway) map[string]string {
	out := make(map[string]string)
	if i := g.Spec.Infrastructure; i != nil {
		for key, value := range i.Labels {
			if !strings.HasPrefix(string(key), ownPrefix) {
				out[string(key)] = string(value)
			}
		}
	}
	out[managedByLabel] = v1alpha1.ManagedByName
	out[gatewayv1.GatewayNameLabelKey] = names.Label(g.Name)
	out[gatewayv1.GatewayClassNameLabelKey] = names.Label(string(g.Spec.GatewayClassName))
	out[v1alpha1.GatewayNamespaceLabel] = g.Namespace
	out[v1alpha1.GatewayUIDLabel] = string(g.UID)
	return out
}

func annotations(g *gatewayv1.Gateway) map[string]string {
	i := g.Spec.Infrastructure
	if i == nil || len(i.Labels)+len(i.Annotations) == 0 {
		return nil
	}
	out := make(map[string]string)
	for key, value := range i.Annotations {
		if !strings.HasPrefix(string(key), ownPrefix) {
			out[string(key)] = string(value)
		}
	}
	var keys []string
	for key := range i.Labels {
		keys = append(keys, "label "+string(key))
	}
	for key := range i.Annotations {
		keys = append(keys, "annotation "+string(key))
	}
	slices.Sort(keys)
	out[metadataAnnotation] = strings.Join(keys, ", ")
	return out
}

// portName is the name of a port of a Service; other ones are not ours.
func portName(port uint16) string { return fmt.Sprintf("port-%d", port) }

// service is the one that a Gateway should have.
func (s *Settings) service(g *gatewayv1.Gateway, namespace string, selector map[string]string, numbers map[uint16]uint16) *corev1.Service {
	dual := corev1.IPFamilyPolicyPreferDualStack
	out := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: serviceName(g), Labels: labels(g), Annotations: annotations(g)},
		Spec:       corev1.ServiceSpec{Type: s.Type, Selector: selector, IPFamilyPolicy: &dual},
	}
	if s.Type != corev1.ServiceTypeClusterIP {
		out.Spec.ExternalTrafficPolicy = s.ExternalTrafficPolicy
	}
	if s.Type == corev1.ServiceTypeLoadBalancer && s.LoadBalancerClass != "" {
		out.Spec.LoadBalancerClass = &s.LoadBalancerClass
	}
	for _, port := range slices.Sorted(maps.Keys(numbers)) {
		out.Spec.Ports = append(out.Spec.Ports, corev1.ServicePort{
			Name: portName(port), Protocol: corev1.ProtocolTCP, Port: int32(port), TargetPort: intstr.FromInt32(int32(numbers[port])),
		})
	}
	return out
}

// keep has want take over what of an existing Service cannot change: the whole of it would be refused.
func keep(is, want *corev1.Service) {
	if is.Spec.Type == corev1.ServiceTypeLoadBalancer && want.Spec.Type == corev1.ServiceTypeLoadBalancer {
		want.Spec.LoadBalancerClass = is.Spec.LoadBalancerClass
	}
}

// same is true when nothing has to be written.
func same(is, want *corev1.Service) bool {
	owned := !slices.ContainsFunc(want.OwnerReferences, func(o metav1.OwnerReference) bool { return !apply.OwnedBy(is, &o) })
	return owned && hasAll(is.Labels, want.Labels) && hasAll(is.Annotations, want.Annotations) &&
		is.Annotations[metadataAnnotation] == want.Annotations[metadataAnnotation] &&
		is.Spec.Type == want.Spec.Type && maps.Equal(is.Spec.Selector, want.Spec.Selector) &&
		is.Spec.ExternalTrafficPolicy == want.Spec.ExternalTrafficPolicy &&
		slices.EqualFunc(ownPorts(is), ownPorts(want), func(a, b corev1.ServicePort) bool {
			return a.Name == b.Name && a.Port == b.Port && a.Protocol == b.Protocol && a.TargetPort == b.TargetPort
		})
}

// ownPorts are the ports with a name that we give.
func ownPorts(s *corev1.Service) []corev1.ServicePort {
	own := slices.DeleteFunc(slices.Clone(s.Spec.Ports), func(p corev1.ServicePort) bool { return p.Name != portName(uint16(p.Port)) })
	slices.SortFunc(own, func(a, b corev1.ServicePort) int { return cmp.Compare(a.Port, b.Port) })
	return own
}

func hasAll(is, want map[string]string) bool {
	for key, value := range want {
		if got, ok := is[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// ours is false for a Service that only has the name of one that a Gateway should have.
func ours(s *corev1.Service) bool {
	return s.Labels[managedByLabel] == v1alpha1.ManagedByName ||
		s.Labels[v1alpha1.GatewayNamespaceLabel] != "" || s.Labels[v1alpha1.GatewayUIDLabel] != ""
}

// removable is true for a Service that has all marks of one that was made for a Gateway.
func removable(s *corev1.Service, owner *metav1.OwnerReference) bool {
	return s.Labels[managedByLabel] == v1alpha1.ManagedByName && s.Labels[v1alpha1.GatewayUIDLabel] != "" && apply.OwnedBy(s, owner)
}
