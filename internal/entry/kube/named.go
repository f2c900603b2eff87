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
	follow := func(what followed, refs []reference, most int, tooMany string, of func(types.NamespacedName) *resource) {
		wanted, all := shared(refs, most)
		if all > most {
			skipped = append(skipped, fmt.Sprintf(tooMany, all, most))
		}
		for name := range wanted {
			if what[name] != nil {
				continue
			}
			following, stop := context.WithCancel(ctx)
			f := &namedFeed{feed: s.newNamedFeed(of(name)), stop: stop}
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
		"Secret: Gateways name %d Secrets, %d at most are used, and each namespace has its share: use fewer, or several entries", secret)
	_, _, backends := s.routesOf(ours)
	follow(s.slices, headlessOf(list[*corev1.Service](s, services), backends), maxHeadless,
		"EndpointSlice: routes name %d headless Services, %d at most have endpoints, and each namespace has its share: give Services a cluster IP",
		endpoints)
	follow(s.roots, configMapsOf(ours, tlsPoliciesOf(list[*gatewayv1.BackendTLSPolicy](s, tls), backends)), maxConfigMaps,
		"ConfigMap: Gateways and BackendTLSPolicies name %d ConfigMaps, %d at most are used, and each namespace has its share: share them", configMap)
	return skipped
}

// reference is an object that another one names, and the namespace of that one.
type reference struct {
	name types.NamespacedName
	by   string
}

// shared are as many names as there may be: namespaces take turns with what their objects name, in order, so that none can have others'
// share. All is how many there are.
func shared(refs []reference, most int) (names map[types.NamespacedName]bool, all int) {
	distinct := make(map[types.NamespacedName]bool, len(refs))
	var order []string
	by := make(map[string][]types.NamespacedName)
	for _, r := range refs {
		distinct[r.name] = true
		if by[r.by] == nil {
			order = append(order, r.by)
		}
		by[r.by] = append(by[r.by], r.name)
	}
	if len(distinct) <= most {
		return distinct, len(distinct)
	}
	names = make(map[types.NamespacedName]bool, most)
	for i := 0; len(names) < most; i++ {
		for _, namespace := range order {
			if i < len(by[namespace]) && len(names) < most {
				names[by[namespace][i]] = true
			}
		}
	}
	return names, len(distinct)
}

// tlsPoliciesOf are those for a backend.
func tlsPoliciesOf(all []*gatewayv1.BackendTLSPolicy, backends map[backend]bool) []*gatewayv1.BackendTLSPolicy {
	return slices.DeleteFunc(all, func(p *gatewayv1.BackendTLSPolicy) bool {
		return !slices.ContainsFunc(p.Spec.TargetRefs, func(ref gatewayv1.LocalPolicyTargetReferenceWithSectionName) bool {
			return backends[backend{string(ref.Kind), types.NamespacedName{Namespace: p.Namespace, Name: string(ref.Name)}}]
		})
	})
}

// configMapsOf are those that Gateways name, and then policies, those of the oldest first.
func configMapsOf(gateways []*gatewayv1.Gateway, policies []*gatewayv1.BackendTLSPolicy) (out []reference) {
	policies = slices.Clone(policies)
	slices.SortStableFunc(policies, func(a, b *gatewayv1.BackendTLSPolicy) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	add := func(by string, kind gatewayv1.Kind, group gatewayv1.Group, namespace string, name gatewayv1.ObjectName) {
		if kind == "ConfigMap" && group == "" && name != "" {
			out = append(out, reference{types.NamespacedName{Namespace: namespace, Name: string(name)}, by})
		}
	}
	for _, g := range gateways {
		for _, v := range validationsOf(g) {
			for _, ref := range v.CACertificateRefs {
				namespace := g.Namespace
				if ref.Namespace != nil {
					namespace = string(*ref.Namespace)
				}
				add(g.Namespace, ref.Kind, ref.Group, namespace, ref.Name)
			}
		}
	}
	for _, p := range policies {
		for _, ref := range p.Spec.Validation.CACertificateRefs {
			add(p.Namespace, ref.Kind, ref.Group, p.Namespace, ref.Name)
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
func headlessOf(all []*corev1.Service, backends map[backend]bool) []reference {
	all = slices.DeleteFunc(slices.Clone(all), func(s *corev1.Service) bool {
		return s.Spec.ClusterIP != corev1.ClusterIPNone || !backends[backend{"Service", nameOf(s)}]
	})
	slices.SortStableFunc(all, func(a, b *corev1.Service) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	out := make([]reference, 0, len(all))
	for _, s := range all {
		out = append(out, reference{nameOf(s), s.Namespace})
	}
	return out
}
