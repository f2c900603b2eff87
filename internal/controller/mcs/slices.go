package mcs

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// desiredSlices are the EndpointSlices beside an import. Each holds endpoints of one cluster, at addresses that work in this one:
// the own pods' real ones; of a peer that of the derived Service, whose proxies lead there.
func (r *Reconciler) desiredSlices(s *state, p *plan, derived map[string]*corev1.Service) ([]*discoveryv1.EndpointSlice, error) {
	var out []*discoveryv1.EndpointSlice
	if p.exported {
		for _, source := range s.local {
			if source.AddressType != discoveryv1.AddressTypeFQDN {
				out = append(out, r.mirrored(s.name, source, p.resolved.Spec.Headless))
			}
		}
	}
	for i := range s.peers {
		peer := &s.peers[i]
		note, err := remember(peer)
		if err != nil {
			return nil, err
		}
		for _, family := range families(s.name, p, peer, derived) {
			slice := r.newSlice(s.name, peer.Peer, family.addressType)
			slice.Name = sliceName(s.name, peer.Peer, string(family.addressType))
			slice.Annotations = map[string]string{memoryAnnotation: note}
			slice.Endpoints = family.endpoints
			slice.Ports = slicePorts(offered(p.resolved.Ports, peer.Ports))
			out = append(out, slice)
		}
	}
	return out, nil
}

func (r *Reconciler) newSlice(name discovery.ServiceName, cluster string, t discoveryv1.AddressType) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: name.Namespace,
			Labels: map[string]string{
				mcsv1beta1.LabelServiceName:   name.Name,
				mcsv1beta1.LabelSourceCluster: cluster,
				discoveryv1.LabelManagedBy:    v1alpha1.ManagedBy,
				managedByLabel:                v1alpha1.ManagedByName,
			},
		},
		AddressType: t, Endpoints: []discoveryv1.Endpoint{}, Ports: []discoveryv1.EndpointPort{},
	}
}

// mirrored is a slice of the own Service as it stands beside the import.
func (r *Reconciler) mirrored(name discovery.ServiceName, source *discoveryv1.EndpointSlice, headless bool) *discoveryv1.EndpointSlice {
	out := r.newSlice(name, r.cfg.Cluster, source.AddressType)
	out.Name = sliceName(name, r.cfg.Cluster, source.Name)
	for i := range source.Endpoints {
		e := source.Endpoints[i].DeepCopy()
		e.Hints, e.DeprecatedTopology = nil, nil
		if headless && e.Hostname == nil && e.TargetRef != nil && len(validation.IsDNS1123Label(e.TargetRef.Name)) == 0 {
			// The name under which peers know the pod.
			e.Hostname = &e.TargetRef.Name
		}
		out.Endpoints = append(out.Endpoints, *e)
	}
	for i := range source.Ports {
		out.Ports = append(out.Ports, *source.Ports[i].DeepCopy())
	}
	return out
}

// family is a peer's endpoints of one address type.
type family struct {
	addressType discoveryv1.AddressType
	endpoints   []discoveryv1.Endpoint
}

// families are a peer's endpoints; always at least one, because the slice is also what remembers the peer.
func families(name discovery.ServiceName, p *plan, peer *discovery.PeerExport, derived map[string]*corev1.Service) []family {
	out := []family{{addressType: discoveryv1.AddressTypeIPv4, endpoints: []discoveryv1.Endpoint{}}}
	add := func(s *corev1.Service, ready bool, hostname *string) {
		for _, ip := range clusterIPs(s) {
			t, ok := addressType(ip)
			if !ok {
				continue
			}
			at := slices.IndexFunc(out, func(f family) bool { return f.addressType == t })
			if at < 0 {
				out = append(out, family{addressType: t})
				at = len(out) - 1
			}
			out[at].endpoints = append(out[at].endpoints, discoveryv1.Endpoint{
				Addresses: []string{ip}, Hostname: hostname, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
			})
		}
	}
	if !p.resolved.Spec.Headless {
		if s := derived[importService(name)]; s != nil {
			add(s, anyReady(peer), nil)
		}
	} else {
		for _, pod := range peer.Pods {
			if s := derived[derivedName(v1alpha1.DerivedPod, name, discovery.PodRef{Cluster: peer.Peer, Hostname: pod.Hostname})]; s != nil {
				add(s, pod.Ready, &pod.Hostname)
			}
		}
	}
	if len(out) > 1 && len(out[0].endpoints) == 0 { // an IPv6 cluster
		out = out[1:]
	}
	return out
}

// anyReady reports whether the peer's service can take a call, if only by a terminating pod.
func anyReady(peer *discovery.PeerExport) bool {
	return slices.ContainsFunc(peer.Readiness, func(r discovery.Readiness) bool { return r.Ready+r.Terminating > 0 }) ||
		slices.ContainsFunc(peer.Pods, func(p discovery.Pod) bool { return p.Ready })
}

func addressType(ip string) (discoveryv1.AddressType, bool) {
	addr, err := netip.ParseAddr(ip)
	switch {
	case err != nil:
		return "", false
	case addr.Is4():
		return discoveryv1.AddressTypeIPv4, true
	}
	return discoveryv1.AddressTypeIPv6, true
}

func slicePorts(list []discovery.ServicePort) []discoveryv1.EndpointPort {
	out := make([]discoveryv1.EndpointPort, 0, len(list))
	for _, p := range list {
		name, protocol, port := p.Name, corev1.Protocol(p.Protocol), int32(p.Port)
		e := discoveryv1.EndpointPort{Name: &name, Protocol: &protocol, Port: &port}
		if p.AppProtocol != "" {
			e.AppProtocol = &p.AppProtocol
		}
		out = append(out, e)
	}
	return out
}

// sameSlice is true when nothing has to be written. The order of endpoints means nothing.
func sameSlice(is, want *discoveryv1.EndpointSlice) bool {
	return hasAll(is.Labels, want.Labels) && hasAll(is.Annotations, want.Annotations) && hasOwners(is, want) &&
		equal(is.Ports, want.Ports) && equal(sortedEndpoints(is), sortedEndpoints(want))
}

func sortedEndpoints(s *discoveryv1.EndpointSlice) []discoveryv1.Endpoint {
	first := func(e *discoveryv1.Endpoint) string {
		if len(e.Addresses) == 0 {
			return ""
		}
		return e.Addresses[0]
	}
	return slices.SortedFunc(slices.Values(s.Endpoints), func(a, b discoveryv1.Endpoint) int { return cmp.Compare(first(&a), first(&b)) })
}
