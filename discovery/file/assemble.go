package file

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/discovery/internal/translate"
	"github.com/eastway/eastway/internal/hashtrie"
)

// rootNamespace is the namespace whose default policy is the cluster's: in Kubernetes, it is where Eastway is installed.
const rootNamespace = "eastway-system"

// assembly builds the catalog's local state from good objects.
type assembly struct {
	services   map[discovery.ServiceName]*discovery.Service
	policies   map[discovery.ServiceName]*v1alpha1.TrafficPolicySpec
	peers      map[string]*discovery.Peer
	localities map[netip.Addr]discovery.Locality
	// Where each comes from.
	targets map[discovery.ServiceName]*object // TrafficPolicies by what they are for
	taken   map[netip.AddrPort]*object        // listeners, by the Service that has them
	ids     map[string]*object                // Peers by SPIFFE ID
	exports map[discovery.ServiceName]*object // ServiceExports
	aliases map[key]bool                      // Services of type ExternalName

	doubtPeer func(name, spiffeID, bundle string) string
	guard     *discovery.Guard
	places    *translate.Places
	gathered  map[discovery.ServiceName]*translate.Endpoints
	errs      []FileError
}

// assemble takes objects in the order of their age: in a conflict the older one wins. Refused ones are not used, but matter to those.
func assemble(objects, refused []*object, cfg *Config) (discovery.Local, []FileError) {
	a := &assembly{
		services:   map[discovery.ServiceName]*discovery.Service{},
		policies:   map[discovery.ServiceName]*v1alpha1.TrafficPolicySpec{},
		peers:      map[string]*discovery.Peer{},
		localities: map[netip.Addr]discovery.Locality{},
		targets:    map[discovery.ServiceName]*object{},
		taken:      map[netip.AddrPort]*object{},
		ids:        map[string]*object{},
		exports:    map[discovery.ServiceName]*object{},
		aliases:    map[key]bool{},
		doubtPeer:  cfg.DoubtPeer,
		guard:      cmp.Or(cfg.Guard, &discovery.Guard{AllowLoopback: true}),
		places:     translate.NewPlaces(cfg.Region),
		gathered:   map[discovery.ServiceName]*translate.Endpoints{},
	}
	// What others refer to comes first.
	each(objects, func(_ *object, n *corev1.Node) { a.places.AddNode(n) })
	each(objects, a.service)
	each(objects, a.external)
	foreign := a.istio(objects, refused)
	each(objects, a.slice)
	each(objects, a.export)
	each(objects, a.peer)
	a.strangers()
	each(created(objects), a.policy)
	each(foreign, a.policy) // what is written for Eastway comes before what is converted
	for name, endpoints := range a.gathered {
		a.services[name].Endpoints = endpoints.ByPort()
	}
	return discovery.Local{
		Services: hashtrie.Of(a.services), Policies: hashtrie.Of(a.policies), Peers: a.peers, Localities: hashtrie.Of(a.localities),
	}, a.errs
}

// created are the objects in the order of their creationTimestamps; those that have none come first, in their present order.
func created(objects []*object) []*object {
	return slices.SortedStableFunc(slices.Values(objects), func(a, b *object) int {
		return a.value.GetCreationTimestamp().Compare(b.value.GetCreationTimestamp().Time)
	})
}

func each[T any](objects []*object, add func(*object, T)) {
	for _, o := range objects {
		if v, ok := o.value.(T); ok {
			add(o, v)
		}
	}
}

func (a *assembly) report(e FileError) { a.errs = append(a.errs, e) }

func (a *assembly) service(o *object, s *corev1.Service) {
	name := discovery.ServiceName{Namespace: o.key.namespace, Name: o.key.name}
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		a.report(o.warning("spec.type",
			"a Service of type ExternalName is a DNS alias, it has nothing to listen on or to send to: ignored"))
		a.aliases[o.key] = true
		return
	}
	if len(a.services) >= discovery.MaxServices {
		a.report(o.fault("", "more than %d Services: this one is ignored", discovery.MaxServices))
		return
	}
	service := translate.Service(name, s)
	service.Private = s.Annotations[v1alpha1.TakeoverAnnotation] != "true" // until there is an export
	for _, ip := range translate.ClusterIPs(s) {
		if a.claim(o, service.Ports, ip) {
			service.Addresses = append(service.Addresses, ip.Addr)
		}
	}
	if doubt := translate.CarriedAsTCP(s); doubt != nil {
		a.report(o.warning(doubt.Field, "%s", doubt.Detail))
	}
	for _, err := range translate.Ignored(s) {
		a.report(o.warning(err.Field, "%s", err.Detail))
	}
	a.unreachable(o, s, service)
	service.Listeners = discovery.ListenersAt(service.Ports, service.Addresses...)
	a.services[name] = service
}

func (a *assembly) external(o *object, e *v1alpha1.ExternalService) {
	name := discovery.ServiceName{Namespace: o.key.namespace, Name: e.Name}
	switch at := (key{kind: v1alpha1.KindService, namespace: name.Namespace, name: name.Name}); {
	case a.services[name] != nil, a.aliases[at]:
		if s := a.services[name]; s != nil && s.External != nil {
			at.kind = "another " + v1alpha1.KindExternal
		}
		a.report(o.fault("metadata.name", "%s has this name: this ExternalService is ignored; give it another name", at))
		return
	case len(a.services) >= discovery.MaxServices:
		a.report(o.fault("", "more than %d Services: this one is ignored", discovery.MaxServices))
		return
	}
	service := translate.External(name, e)
	for _, ip := range translate.ExternalAddresses(e) {
		if a.claim(o, service.Ports, ip) {
			service.Addresses = append(service.Addresses, ip.Addr)
		}
	}
	if len(e.Spec.Addresses) == 0 {
		a.report(o.warning("spec.addresses", "not set: callers have no address for this ExternalService here; set one that the proxy can listen on"))
	}
	service.Listeners = discovery.ListenersAt(service.Ports, service.Addresses...)
	a.services[name] = service
}

// unreachable warns of a Service that callers here cannot reach, though nothing is wrong with it.
func (a *assembly) unreachable(o *object, s *corev1.Service, service *discovery.Service) {
	switch tcp := slices.ContainsFunc(service.Ports, func(p discovery.ServicePort) bool { return p.Protocol == discovery.TCP }); {
	case service.Spec.Headless:
	case len(translate.ClusterIPs(s)) == 0:
		a.report(o.warning("spec.clusterIP",
			"not set: callers have no address for this Service here; set one that the proxy can listen on"))
	case !tcp:
		a.report(o.warning("spec.ports", "no port is TCP, and nothing else is carried: there is nothing to listen on"))
	}
}

// claim takes the listeners of all TCP ports on one address, or none.
func (a *assembly) claim(o *object, ports []discovery.ServicePort, ip translate.ClusterIP) bool {
	for _, p := range ports {
		at := netip.AddrPortFrom(ip.Addr, p.Port)
		if owner := a.taken[at]; p.Protocol == discovery.TCP && owner != nil {
			a.report(o.fault(ip.Path.String(),
				"%s is already the address of %s in %s: this %s is not listened for on %s; give it another address",
				at, owner.key, owner.file, o.key.kind, ip.Addr))
			return false
		}
	}
	for _, p := range ports {
		if p.Protocol == discovery.TCP {
			a.taken[netip.AddrPortFrom(ip.Addr, p.Port)] = o
		}
	}
	return true
}

func (a *assembly) export(o *object, e *mcsv1beta1.ServiceExport) {
	s := a.services[discovery.ServiceName{Namespace: o.key.namespace, Name: o.key.name}]
	if at := (key{kind: "Service", namespace: o.key.namespace, name: o.key.name}); s == nil && a.aliases[at] {
		a.report(o.warning("metadata.name", "%s is of type ExternalName, a DNS alias without endpoints: it is not exported; "+
			"export a Service with endpoints", at))
		return
	}
	if s == nil {
		a.report(o.warning("metadata.name", "there is no Service %s/%s to export", o.key.namespace, o.key.name))
		return
	}
	s.Export, s.Private = translate.Export(e), false
	a.exports[s.Name] = o
}

// strangers warns of exports to Peers that there are not.
func (a *assembly) strangers() {
	for name, o := range a.exports {
		for _, to := range a.services[name].Export.To {
			if a.peers[to] == nil {
				a.report(o.warning("metadata.annotations["+v1alpha1.ExportToAnnotation+"]",
					"there is no Peer %s here: the service is exported to it once there is one", to))
			}
		}
	}
}

func (a *assembly) peer(o *object, p *v1alpha1.Peer) {
	if owner := a.ids[p.Spec.SPIFFEID]; owner != nil {
		a.report(o.fault("spec.spiffeID", "%q is already the identity of %s in %s: this Peer is ignored; remove one of the two",
			p.Spec.SPIFFEID, owner.key, owner.file))
		return
	}
	a.ids[p.Spec.SPIFFEID] = o
	a.peers[p.Name] = &discovery.Peer{Name: p.Name, Spec: p.Spec}
	if a.doubtPeer == nil {
		return
	}
	if doubt := a.doubtPeer(p.Name, p.Spec.SPIFFEID, p.Spec.TrustBundle); doubt != "" {
		a.report(o.warning("spec.trustBundle", "%s", doubt))
	}
}

func (a *assembly) policy(o *object, p *v1alpha1.TrafficPolicy) {
	if p.Spec.TargetRef.OfEntry() {
		return
	}
	target := translate.Target(cmp.Or(p.Namespace, o.key.namespace), p, rootNamespace)
	service := a.services[target]
	external := service != nil && service.External != nil
	alias := a.aliases[key{kind: v1alpha1.KindService, namespace: target.Namespace, name: target.Name}]
	if misfit, doubt := translate.Misfit(p, target, alias || service != nil && !external, external); misfit != nil {
		e := o.fault(misfit.Field, "%s", misfit.Detail)
		e.Warning = doubt
		a.report(e)
		return
	}
	if owner := a.targets[target]; owner != nil {
		a.report(o.fault("spec.targetRef", "%s already has %s in %s: this policy is ignored; remove one of the two",
			translate.Subject(target), owner.key, owner.file))
		return
	}
	switch {
	case target.Name == "":
	case service != nil:
		for _, err := range translate.Doubts(p, service) {
			a.report(o.warning(err.Field, "%s", err.Detail))
		}
	default:
		a.report(o.warning("spec.targetRef.name", "%s", translate.NoTarget(p, target)))
	}
	a.targets[target] = o
	a.policies[target] = &p.Spec
}

// refuse is why an address may be no endpoint; empty if it may.
func (a *assembly) refuse(endpoint netip.AddrPort) string {
	if r := a.guard.Check(endpoint); r != "" {
		return r.Text()
	}
	at := netip.AddrPortFrom(endpoint.Addr().Unmap(), endpoint.Port())
	if owner := a.taken[at]; owner != nil {
		return "is the address of " + owner.key.String() + " and " + discovery.RefusedLoop.Text()
	}
	return ""
}

// slice adds the endpoints of one EndpointSlice to its service.
func (a *assembly) slice(o *object, s *discoveryv1.EndpointSlice) {
	name := discovery.ServiceName{Namespace: o.key.namespace, Name: s.Labels[discoveryv1.LabelServiceName]}
	service := a.services[name]
	if service == nil || service.External != nil {
		a.report(o.warning("metadata.labels."+discoveryv1.LabelServiceName, "there is no Service %s: its endpoints are not used",
			name))
		return
	}
	if a.gathered[name] == nil {
		a.gathered[name] = translate.NewEndpoints(service, a.places, a.refuse)
	}
	doubts, refused := a.gathered[name].Add(s)
	for _, err := range doubts {
		path, msg := translate.FieldOf(err)
		a.report(o.warning(path, "%s", msg))
	}
	if refused != nil {
		path, msg := translate.FieldOf(refused)
		a.report(o.fault(path, "%s", msg))
	}
	for addr, e := range translate.Addresses(s) {
		if _, known := a.localities[addr]; !known {
			a.localities[addr] = a.places.Endpoint(s, e)
		}
	}
}
