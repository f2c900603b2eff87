package kube

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// followed are the feeds of single objects, by what names them.
type followed map[types.NamespacedName]*namedFeed

// namedFeed follows one object until it is stopped.
type namedFeed struct {
	*feed

	stop context.CancelFunc
}

// followNamed follows what the Gateways and their routes name, and nothing else of those kinds. It says of what there is too much.
func (s *Source) followNamed(ctx context.Context, running *sync.WaitGroup) (skipped []string) {
	_, ours := ofEastway(list[*gatewayv1.GatewayClass](s, classes), list[*gatewayv1.Gateway](s, gateways))
	follow := func(what followed, names []types.NamespacedName, most int, tooMany string, of func(types.NamespacedName) *resource) {
		if len(names) > most {
			skipped = append(skipped, fmt.Sprintf(tooMany, len(names), most))
			names = names[:most]
		}
		wanted := make(map[types.NamespacedName]bool, len(names))
		for _, name := range names {
			wanted[name] = true
			if what[name] != nil {
				continue
			}
			following, stop := context.WithCancel(ctx)
			f := &namedFeed{feed: s.newFeed(of(name)), stop: stop}
			what[name] = f
			running.Go(func() { f.Run(following) })
		}
		for name, f := range what {
			if !wanted[name] {
				f.stop()
				delete(what, name)
			}
		}
	}
	follow(s.secrets, secretsOf(ours), maxSecrets,
		"Secret: Gateways name %d Secrets, those of the oldest Gateways are used, %d at most: use fewer, or several entries", secret)
	_, _, backends := s.routesOf(ours)
	follow(s.slices, headlessOf(list[*corev1.Service](s, services), backends), maxHeadless,
		"EndpointSlice: routes name %d headless Services, the oldest ones have endpoints, %d at most: give Services a cluster IP",
		endpoints)
	follow(s.roots, configMapsOf(ours, tlsPoliciesOf(list[*gatewayv1.BackendTLSPolicy](s, tls), backends)), maxConfigMaps,
		"ConfigMap: Gateways and BackendTLSPolicies name %d ConfigMaps, those of the oldest are used, %d at most: share them", configMap)
	return skipped
}

// tlsPoliciesOf are those for a backend.
func tlsPoliciesOf(all []*gatewayv1.BackendTLSPolicy, backends map[backend]bool) []*gatewayv1.BackendTLSPolicy {
	return slices.DeleteFunc(all, func(p *gatewayv1.BackendTLSPolicy) bool {
		return !slices.ContainsFunc(p.Spec.TargetRefs, func(ref gatewayv1.LocalPolicyTargetReferenceWithSectionName) bool {
			return backends[backend{string(ref.Kind), types.NamespacedName{Namespace: p.Namespace, Name: string(ref.Name)}}]
		})
	})
}

// configMapsOf are those that Gateways name, and then policies, those of the oldest first, each once.
func configMapsOf(gateways []*gatewayv1.Gateway, policies []*gatewayv1.BackendTLSPolicy) []types.NamespacedName {
	policies = slices.Clone(policies)
	slices.SortStableFunc(policies, func(a, b *gatewayv1.BackendTLSPolicy) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	var out []types.NamespacedName
	seen := make(map[types.NamespacedName]bool)
	add := func(kind gatewayv1.Kind, group gatewayv1.Group, namespace string, name gatewayv1.ObjectName) {
		of := types.NamespacedName{Namespace: namespace, Name: string(name)}
		if kind == "ConfigMap" && group == "" && name != "" && !seen[of] {
			seen[of], out = true, append(out, of)
		}
	}
	for _, g := range gateways {
		for _, v := range validationsOf(g) {
			for _, ref := range v.CACertificateRefs {
				namespace := g.Namespace
				if ref.Namespace != nil {
					namespace = string(*ref.Namespace)
				}
				add(ref.Kind, ref.Group, namespace, ref.Name)
			}
		}
	}
	for _, p := range policies {
		for _, ref := range p.Spec.Validation.CACertificateRefs {
			add(ref.Kind, ref.Group, p.Namespace, ref.Name)
		}
	}
	return out
}

// validationsOf are those of a Gateway's clients.
func validationsOf(g *gatewayv1.Gateway) (out []*gatewayv1.FrontendTLSValidation) {
	if g.Spec.TLS == nil || g.Spec.TLS.Frontend == nil {
		return nil
	}
	frontend := g.Spec.TLS.Frontend
	if v := frontend.Default.Validation; v != nil {
		out = append(out, v)
	}
	for i := range frontend.PerPort {
		if v := frontend.PerPort[i].TLS.Validation; v != nil {
			out = append(out, v)
		}
	}
	return out
}

// headlessOf are the Services that are backends and have no address, the oldest first.
func headlessOf(all []*corev1.Service, backends map[backend]bool) []types.NamespacedName {
	all = slices.DeleteFunc(slices.Clone(all), func(s *corev1.Service) bool {
		return s.Spec.ClusterIP != corev1.ClusterIPNone || !backends[backend{"Service", nameOf(s)}]
	})
	slices.SortStableFunc(all, func(a, b *corev1.Service) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	out := make([]types.NamespacedName, 0, len(all))
	for _, s := range all {
		out = append(out, nameOf(s))
	}
	return out
}
