package discovery

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/hashtrie"
)

// Local is everything that a source found in its own cluster.
type Local struct {
	// Services by name. Service.Peers, Unused and Policy are left empty: the catalog fills them in.
	Services hashtrie.Map[ServiceName, *Service]
	// Policies by the service that they target; also services that only peers export have one. The default of a namespace is under
	// the empty name there, that of the cluster under the zero ServiceName.
	Policies hashtrie.Map[ServiceName, *v1alpha1.TrafficPolicySpec]
	// Peers are the valid Peer manifests by name.
	Peers map[string]*Peer
	// Localities maps addresses of callers to where they are.
	Localities hashtrie.Map[netip.Addr, Locality]
	// Networks are where callers are that Localities does not have; sorted by address.
	Networks []Network
	// Proxies is how many of the own cluster serve; 0: it is not known.
	Proxies int
	// ProxyAddresses are those of its pods, sorted: nothing but a proxy of this cluster connects from there.
	ProxyAddresses []netip.Addr
	// Namespace is that in which Eastway is installed, of which nothing is imported; empty outside Kubernetes. A source never changes it.
	Namespace string
}

// policy is that of a service: its own, else that of its namespace, else that of the cluster; nil when there is none.
func (l *Local) policy(of ServiceName) *v1alpha1.TrafficPolicySpec {
	for _, at := range []ServiceName{of, {Namespace: of.Namespace}, {}} {
		if p := l.Policies.Get(at); p != nil {
			return p
		}
	}
	return nil
}

// covered adds the services that the defaults among the names are for.
func covered(names map[ServiceName]struct{}, services hashtrie.Map[ServiceName, *Service]) {
	namespaces := map[string]bool{}
	for n := range names {
		if n.Name == "" {
			namespaces[n.Namespace] = true
		}
	}
	if len(namespaces) == 0 {
		return
	}
	for n := range services.All() {
		if namespaces[""] || namespaces[n.Namespace] {
			names[n] = struct{}{}
		}
	}
}

// differing are the services that are not the same in both, themselves or in their policy, and the defaults that are not.
func (l *Local) differing(o *Local) map[ServiceName]struct{} {
	names := map[ServiceName]struct{}{}
	for n := range hashtrie.Differing(l.Services, o.Services) {
		if !equalService(l.Services.Get(n), o.Services.Get(n)) {
			names[n] = struct{}{}
		}
	}
	for n := range hashtrie.Differing(l.Policies, o.Policies) {
		if !equalPolicy(l.Policies.Get(n), o.Policies.Get(n)) {
			names[n] = struct{}{}
		}
	}
	return names
}

func equalService(a, b *Service) bool {
	if a == b {
		return true
	}
	return a != nil && b != nil && equalExport(a.Export, b.Export) && equalSpec(&a.Spec, &b.Spec) &&
		(a.External == b.External || reflect.DeepEqual(a.External, b.External)) &&
		a.Private == b.Private && a.ProxyProtocol == b.ProxyProtocol && slices.Equal(a.Precedence, b.Precedence) &&
		slices.Equal(a.Ports, b.Ports) && slices.Equal(a.Addresses, b.Addresses) && slices.Equal(a.Listeners, b.Listeners) &&
		maps.EqualFunc(a.Endpoints, b.Endpoints, slices.Equal[[]Endpoint])
}

func equalExport(a, b *Export) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Created.Equal(b.Created) && maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations) &&
		slices.Equal(a.To, b.To) && a.ToDryRun == b.ToDryRun
}

func equalSpec(a, b *ServiceSpec) bool {
	return a.Headless == b.Headless && a.SessionAffinity == b.SessionAffinity &&
		a.SessionAffinityTimeout == b.SessionAffinityTimeout && a.InternalTrafficPolicy == b.InternalTrafficPolicy &&
		a.TrafficDistribution == b.TrafficDistribution && slices.Equal(a.IPFamilies, b.IPFamilies)
}

func equalPolicy(a, b *v1alpha1.TrafficPolicySpec) bool {
	return a == b || reflect.DeepEqual(a, b)
}

func equalPeer(a, b *Peer) bool {
	return a == b || reflect.DeepEqual(a, b)
}
