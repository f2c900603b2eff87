package discovery

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Local is everything that a source found in its own cluster.
type Local struct {
	// Services by name. Service.Peers and Service.Policy are left empty: the catalog fills them in.
	Services map[ServiceName]*Service
	// Policies by the service that they target; also services that only peers export have one.
	Policies map[ServiceName]*v1alpha1.TrafficPolicySpec
	// Peers are the valid Peer manifests by name.
	Peers map[string]*Peer
	// Localities maps addresses of callers to where they are.
	Localities map[netip.Addr]Locality
	// Networks are where callers are that Localities does not have; sorted by address.
	Networks []Network
}

// differing names the services that are not the same in both, themselves or in their policy.
func (l *Local) differing(o *Local) []ServiceName {
	var names []ServiceName
	for n, s := range l.Services {
		if !equalService(s, o.Services[n]) || !equalPolicy(l.Policies[n], o.Policies[n]) {
			names = append(names, n)
		}
	}
	for n := range o.Services {
		if l.Services[n] == nil {
			names = append(names, n)
		}
	}
	// Policies of services that neither has: peers may export them.
	for n, p := range l.Policies {
		if l.Services[n] == nil && o.Services[n] == nil && !equalPolicy(p, o.Policies[n]) {
			names = append(names, n)
		}
	}
	for n := range o.Policies {
		if l.Services[n] == nil && o.Services[n] == nil && l.Policies[n] == nil {
			names = append(names, n)
		}
	}
	return names
}

func equalService(a, b *Service) bool {
	if a == b {
		return true
	}
	return a != nil && b != nil && equalOffer(a.Export, b.Export) && equalSpec(&a.Spec, &b.Spec) &&
		slices.Equal(a.Ports, b.Ports) && slices.Equal(a.Addresses, b.Addresses) && slices.Equal(a.Listeners, b.Listeners) &&
		maps.EqualFunc(a.Endpoints, b.Endpoints, slices.Equal[[]Endpoint])
}

func equalOffer(a, b *Export) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Created.Equal(b.Created) && maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations)
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
