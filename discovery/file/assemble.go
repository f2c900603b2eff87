package file

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// assembly puts good objects together into what the catalog wants to know.
type assembly struct {
	region   string // the own one, where nothing else tells
	local    discovery.Local
	services map[discovery.ServiceName]*object // where each comes from
	taken    map[netip.AddrPort]*object        // listeners, by who has them
	ids      map[string]*object                // Peers by SPIFFE ID
	policies map[discovery.ServiceName]*object
	zones    map[string]string             // zone → region
	nodes    map[string]discovery.Locality // by name
	errs     []FileError
}

// assemble takes objects in the order of their age: where two want the same, the older one has it.
func assemble(objects []*object, region string) (discovery.Local, []FileError) {
	a := &assembly{
		region: region,
		local: discovery.Local{
			Services:   map[discovery.ServiceName]*discovery.Service{},
			Policies:   map[discovery.ServiceName]*v1alpha1.TrafficPolicySpec{},
			Peers:      map[string]*discovery.Peer{},
			Localities: map[netip.Addr]discovery.Locality{},
		},
		services: map[discovery.ServiceName]*object{},
		taken:    map[netip.AddrPort]*object{},
		ids:      map[string]*object{},
		policies: map[discovery.ServiceName]*object{},
		zones:    map[string]string{},
		nodes:    map[string]discovery.Locality{},
	}
	// What others refer to comes first.
	each(objects, a.node)
	each(objects, a.service)
	each(objects, a.slice)
	each(objects, a.export)
	each(objects, a.peer)
	each(objects, a.policy)
	for _, s := range a.local.Services {
		for port, endpoints := range s.Endpoints {
			s.Endpoints[port] = tidy(endpoints)
		}
	}
	return a.local, a.errs
}

func each[T any](objects []*object, add func(*object, T)) {
	for _, o := range objects {
		if v, ok := o.value.(T); ok {
			add(o, v)
		}
	}
}

func (a *assembly) report(e FileError) { a.errs = append(a.errs, e) }

func (a *assembly) node(_ *object, n *corev1.Node) {
	at := discovery.Locality{Region: n.Labels[corev1.LabelTopologyRegion], Zone: n.Labels[corev1.LabelTopologyZone]}
	a.nodes[n.Name] = at
	if at.Zone != "" && at.Region != "" && a.zones[at.Zone] == "" {
		a.zones[at.Zone] = at.Region
	}
}

func (a *assembly) service(o *object, s *corev1.Service) {
	name := discovery.ServiceName{Namespace: o.key.namespace, Name: o.key.name}
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		a.report(o.warning("spec.type",
			"a Service of type ExternalName is a DNS alias, it has nothing to listen on or to send to: ignored"))
		return
	}
	if len(a.local.Services) >= discovery.MaxServices {
		a.report(o.fault("", "more than %d Services: this one is ignored", discovery.MaxServices))
		return
	}
	service := &discovery.Service{Name: name, Endpoints: map[uint16][]discovery.Endpoint{}}
	for i := range s.Spec.Ports {
		service.Ports = append(service.Ports, servicePort(&s.Spec.Ports[i]))
	}
	for _, ip := range clusterIPs(s) {
		if a.claim(o, service.Ports, ip) {
			service.Addresses = append(service.Addresses, ip.addr)
		}
	}
	service.Listeners = discovery.ListenersAt(service.Ports, service.Addresses...)
	a.local.Services[name] = service
	a.services[name] = o
}

// claim takes the listeners of all TCP ports on one address, or none.
func (a *assembly) claim(o *object, ports []discovery.ServicePort, ip clusterIP) bool {
	for _, p := range ports {
		at := netip.AddrPortFrom(ip.addr, p.Port)
		if owner := a.taken[at]; p.Protocol == discovery.TCP && owner != nil {
			a.report(o.fault(ip.path.String(),
				"%s is already the address of %s in %s: this Service is not listened for on %s; give it another address",
				at, owner.key, owner.file, ip.addr))
			return false
		}
	}
	for _, p := range ports {
		if p.Protocol == discovery.TCP {
			a.taken[netip.AddrPortFrom(ip.addr, p.Port)] = o
		}
	}
	return true
}

func servicePort(p *corev1.ServicePort) discovery.ServicePort {
	port := uint16(p.Port) //nolint:gosec // validated
	sp := discovery.ServicePort{Name: p.Name, Port: port, Protocol: cmp.Or(string(p.Protocol), discovery.TCP)}
	if p.AppProtocol != nil {
		sp.AppProtocol = *p.AppProtocol
	}
	return sp
}

func (a *assembly) export(o *object, e *mcsv1beta1.ServiceExport) {
	s := a.local.Services[discovery.ServiceName{Namespace: o.key.namespace, Name: o.key.name}]
	if s == nil {
		a.report(o.warning("metadata.name", "there is no Service %s/%s to export", o.key.namespace, o.key.name))
		return
	}
	s.Export = &discovery.Export{
		Created: e.CreationTimestamp.Time, Labels: e.Spec.ExportedLabels, Annotations: e.Spec.ExportedAnnotations,
	}
}

func (a *assembly) peer(o *object, p *v1alpha1.Peer) {
	if owner := a.ids[p.Spec.SPIFFEID]; owner != nil {
		a.report(o.fault("spec.spiffeID", "%q is already the identity of %s in %s: this Peer is ignored; remove one of the two",
			p.Spec.SPIFFEID, owner.key, owner.file))
		return
	}
	a.ids[p.Spec.SPIFFEID] = o
	a.local.Peers[p.Name] = &discovery.Peer{Name: p.Name, Spec: p.Spec}
}

func (a *assembly) policy(o *object, p *v1alpha1.TrafficPolicy) {
	target := discovery.ServiceName{Namespace: o.key.namespace, Name: p.Spec.TargetRef.Name}
	if owner := a.policies[target]; owner != nil {
		a.report(o.fault("spec.targetRef", "Service %s already has %s in %s: this policy is ignored; remove one of the two",
			target, owner.key, owner.file))
		return
	}
	if a.services[target] == nil {
		a.report(o.warning("spec.targetRef.name", "there is no Service %s here; the policy applies once a peer exports one",
			target))
	}
	a.policies[target] = o
	a.local.Policies[target] = &p.Spec
}

// slice adds the endpoints of one EndpointSlice to its service.
func (a *assembly) slice(o *object, s *discoveryv1.EndpointSlice) {
	name := discovery.ServiceName{Namespace: o.key.namespace, Name: s.Labels[discoveryv1.LabelServiceName]}
	service := a.local.Services[name]
	if service == nil {
		a.report(o.warning("metadata.labels."+discoveryv1.LabelServiceName, "there is no Service %s: its endpoints are not used",
			name))
		return
	}
	ports := a.match(o, s, service)
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		// By the API's own words all addresses of an endpoint are the same thing and the first one does.
		addr, err := netip.ParseAddr(e.Addresses[0])
		if err != nil {
			continue // checked before
		}
		at := a.locality(s, e)
		if _, known := a.local.Localities[addr]; !known {
			a.local.Localities[addr] = at
		}
		ready := e.Conditions.Ready == nil || *e.Conditions.Ready
		for from, to := range ports {
			service.Endpoints[from] = append(service.Endpoints[from],
				discovery.Endpoint{Address: netip.AddrPortFrom(addr, to), Locality: at, Ready: ready})
		}
	}
}

// match finds for each TCP port of the service the slice's port of the same name. UDP is not carried.
func (a *assembly) match(o *object, s *discoveryv1.EndpointSlice, service *discovery.Service) map[uint16]uint16 {
	ports := map[uint16]uint16{}
	for i, p := range s.Ports {
		name, protocol := "", discovery.TCP
		if p.Name != nil {
			name = *p.Name
		}
		if p.Protocol != nil {
			protocol = string(*p.Protocol)
		}
		found := false
		for _, sp := range service.Ports {
			if sp.Name == name && sp.Protocol == protocol {
				found = true
				if protocol == discovery.TCP {
					ports[sp.Port] = uint16(*p.Port) //nolint:gosec // validated
				}
			}
		}
		if !found {
			a.report(o.warning(fmt.Sprintf("ports[%d]", i), "Service %s has no %s port named %q: this port is not used",
				service.Name, protocol, name))
		}
	}
	return ports
}

// locality of an endpoint: its zone, else its node's; the region that the slice says, else the zone's, the node's, the own.
func (a *assembly) locality(s *discoveryv1.EndpointSlice, e *discoveryv1.Endpoint) discovery.Locality {
	var node discovery.Locality
	if e.NodeName != nil {
		node = a.nodes[*e.NodeName]
	}
	at := discovery.Locality{Zone: node.Zone}
	if e.Zone != nil && *e.Zone != "" {
		at.Zone = *e.Zone
	}
	at.Region = cmp.Or(s.Labels[corev1.LabelTopologyRegion], s.Annotations[corev1.LabelTopologyRegion],
		a.zones[at.Zone], node.Region, a.region)
	return at
}

// tidy sorts endpoints by address and leaves each once; one that two slices have is ready if either says so.
func tidy(endpoints []discovery.Endpoint) []discovery.Endpoint {
	slices.SortStableFunc(endpoints, func(a, b discovery.Endpoint) int {
		if c := a.Address.Compare(b.Address); c != 0 {
			return c
		}
		switch {
		case a.Ready == b.Ready:
			return 0
		case a.Ready:
			return -1
		}
		return 1
	})
	return slices.CompactFunc(endpoints, func(a, b discovery.Endpoint) bool { return a.Address == b.Address })
}
