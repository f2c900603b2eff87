package kube

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/entry/route"
)

// ofEastway are the classes of Eastway's controller, and the Gateways that name one of them, the oldest first.
func ofEastway(all []*gatewayv1.GatewayClass, gateways []*gatewayv1.Gateway) ([]*gatewayv1.GatewayClass, []*gatewayv1.Gateway) {
	var classes []*gatewayv1.GatewayClass
	names := make(map[gatewayv1.ObjectName]bool)
	for _, c := range all {
		if c.Spec.ControllerName == route.ControllerName {
			classes, names[gatewayv1.ObjectName(c.Name)] = append(classes, c), true
		}
	}
	var out []*gatewayv1.Gateway
	for _, g := range gateways {
		if names[g.Spec.GatewayClassName] {
			out = append(out, g)
		}
	}
	slices.SortStableFunc(out, func(a, b *gatewayv1.Gateway) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), compareNames(a, b))
	})
	return classes, out
}

func compareNames[T metav1.Object](a, b T) int {
	return cmp.Or(strings.Compare(a.GetNamespace(), b.GetNamespace()), strings.Compare(a.GetName(), b.GetName()))
}

// secretsOf are the Secrets that Gateways name, in the order of the Gateways.
func secretsOf(gateways []*gatewayv1.Gateway) (out []reference) {
	add := func(namespace string, ref *gatewayv1.SecretObjectReference) {
		if ref.Group != nil && *ref.Group != "" || ref.Kind != nil && *ref.Kind != "Secret" || ref.Name == "" {
			return
		}
		name := types.NamespacedName{Namespace: namespace, Name: string(ref.Name)}
		if ref.Namespace != nil {
			name.Namespace = string(*ref.Namespace)
		}
		out = append(out, reference{name, namespace})
	}
	for _, g := range gateways {
		for i := range g.Spec.Listeners {
			if tls := g.Spec.Listeners[i].TLS; tls != nil {
				for j := range tls.CertificateRefs {
					add(g.Namespace, &tls.CertificateRefs[j])
				}
			}
		}
		if tls := g.Spec.TLS; tls != nil && tls.Backend != nil && tls.Backend.ClientCertificateRef != nil {
			add(g.Namespace, tls.Backend.ClientCertificateRef)
		}
	}
	return out
}

// bindings are what the Services in a namespace that were made for Gateways say.
func bindings(all []*corev1.Service, namespace string, gateways []*gatewayv1.Gateway) map[types.NamespacedName]route.Binding {
	of := make(map[types.UID]types.NamespacedName, len(gateways))
	for _, g := range gateways {
		of[g.UID] = nameOf(g)
	}
	out := make(map[types.NamespacedName]route.Binding)
	for _, s := range all {
		uid := types.UID(s.Labels[v1alpha1.GatewayUIDLabel])
		name, ok := of[uid]
		if s.Namespace != namespace || uid == "" || !ok {
			continue
		}
		if out[name] == nil {
			out[name] = make(route.Binding)
		}
		for i := range s.Spec.Ports {
			if p := &s.Spec.Ports[i]; p.TargetPort.Type == intstr.Int && p.TargetPort.IntVal > 0 && p.TargetPort.IntVal <= 65535 {
				out[name][p.Port] = uint16(p.TargetPort.IntVal)
			}
		}
	}
	return out
}

// backend is what a route refers to.
type backend struct {
	kind string
	name types.NamespacedName
}

// routesOf are the routes that name one of the Gateways, and what they refer to. s.mu is held.
func (s *Source) routesOf(gateways []*gatewayv1.Gateway) (http []*gatewayv1.HTTPRoute, grpc []*gatewayv1.GRPCRoute, backends map[backend]bool) {
	parents := make(map[types.NamespacedName]bool, len(gateways))
	for _, g := range gateways {
		parents[nameOf(g)] = true
	}
	backends = make(map[backend]bool)
	for _, r := range list[*gatewayv1.HTTPRoute](s, routes) {
		if names(r, r.Spec.ParentRefs, parents) {
			http = append(http, r)
			addBackends(backends, r)
		}
	}
	for _, r := range list[*gatewayv1.GRPCRoute](s, grpcRoutes) {
		if names(r, r.Spec.ParentRefs, parents) {
			grpc = append(grpc, r)
			addGRPCBackends(backends, r)
		}
	}
	return http, grpc, backends
}

// names: a route names one of the Gateways.
func names(r metav1.Object, refs []gatewayv1.ParentReference, parents map[types.NamespacedName]bool) bool {
	return slices.ContainsFunc(refs, func(ref gatewayv1.ParentReference) bool {
		name := types.NamespacedName{Namespace: r.GetNamespace(), Name: string(ref.Name)}
		if ref.Namespace != nil {
			name.Namespace = string(*ref.Namespace)
		}
		return parents[name]
	})
}

// adding notes what objects of a namespace refer to.
func adding(backends map[backend]bool, namespace string) func(*gatewayv1.BackendObjectReference) {
	return func(ref *gatewayv1.BackendObjectReference) {
		b := backend{kind: "Service", name: types.NamespacedName{Namespace: namespace, Name: string(ref.Name)}}
		if ref.Kind != nil {
			b.kind = string(*ref.Kind)
		}
		if ref.Namespace != nil {
			b.name.Namespace = string(*ref.Namespace)
		}
		backends[b] = true
	}
}

func addGRPCBackends(backends map[backend]bool, r *gatewayv1.GRPCRoute) {
	add := adding(backends, r.Namespace)
	mirrors := func(filters []gatewayv1.GRPCRouteFilter) {
		for i := range filters {
			if m := filters[i].RequestMirror; m != nil {
				add(&m.BackendRef)
			}
		}
	}
	for i := range r.Spec.Rules {
		mirrors(r.Spec.Rules[i].Filters)
		refs := r.Spec.Rules[i].BackendRefs
		for j := range refs {
			add(&refs[j].BackendObjectReference)
			mirrors(refs[j].Filters)
		}
	}
}

func addBackends(backends map[backend]bool, r *gatewayv1.HTTPRoute) {
	add := adding(backends, r.Namespace)
	mirrors := func(filters []gatewayv1.HTTPRouteFilter) {
		for i := range filters {
			if m := filters[i].RequestMirror; m != nil {
				add(&m.BackendRef)
			}
		}
	}
	for i := range r.Spec.Rules {
		mirrors(r.Spec.Rules[i].Filters)
		refs := r.Spec.Rules[i].BackendRefs
		for j := range refs {
			add(&refs[j].BackendObjectReference)
			mirrors(refs[j].Filters)
		}
	}
}

// replicasOf is how many pods are ready behind slices of a Service; each address family has slices of its own.
func replicasOf(all []*discoveryv1.EndpointSlice) int {
	ready := make(map[discoveryv1.AddressType]int)
	most := 0
	for _, s := range all {
		for i := range s.Endpoints {
			if r := s.Endpoints[i].Conditions.Ready; r == nil || *r {
				ready[s.AddressType]++
			}
		}
		most = max(most, ready[s.AddressType])
	}
	return most
}
