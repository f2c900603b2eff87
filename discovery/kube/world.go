package kube

import (
	"cmp"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/discovery/internal/translate"
)

type (
	name = discovery.ServiceName
	set  = map[name]struct{}
)

// world is what is known of the cluster, in an order that makes a change cost what it touches. All its objects are good and
// are not changed once they are here.
type world struct {
	namespace string // the installation's
	region    string // of what nothing else places; empty: that of the own node
	node      string // the own one
	most      int    // services in the catalog

	places   *translate.Places
	nodes    map[string]*corev1.Node
	lost     map[string]time.Time // unreachable nodes: until when their pods' readiness does not count; zero: still unreachable
	services map[name]*corev1.Service
	outside  map[name]*v1alpha1.ExternalService
	exports  map[name]*mcsv1beta1.ServiceExport
	slices   map[name]map[string]*discoveryv1.EndpointSlice // by Service, then their own name
	policies map[name]map[string]*v1alpha1.TrafficPolicy    // by target, then their own name
	peers    map[string]*v1alpha1.Peer
	derived  derived
	callers  callers
	loops    loops

	// What is to be looked at again.
	dirty         set
	dirtyPolicies set
	dirtyPeers    bool
	dirtyNodes    bool
	dirtyProxies  bool
	beyond        set // services for which there is no room

	local    discovery.Local // as flushed last
	problems map[name][]Problem
	policy   map[name][]Problem
	peer     []Problem
}

func newWorld(cfg *Config) *world {
	return &world{
		namespace: cfg.Namespace, region: cfg.Region, node: cfg.NodeName, most: discovery.MaxServices,
		places:   translate.NewPlaces(cfg.Region),
		loops:    newLoops(cfg.Guard),
		nodes:    map[string]*corev1.Node{},
		lost:     map[string]time.Time{},
		services: map[name]*corev1.Service{},
		outside:  map[name]*v1alpha1.ExternalService{},
		exports:  map[name]*mcsv1beta1.ServiceExport{},
		slices:   map[name]map[string]*discoveryv1.EndpointSlice{},
		policies: map[name]map[string]*v1alpha1.TrafficPolicy{},
		peers:    map[string]*v1alpha1.Peer{},
		derived:  newDerived(), callers: newCallers(),
		dirty: set{}, dirtyPolicies: set{}, beyond: set{},
		local:    discovery.Local{Peers: map[string]*discovery.Peer{}, Namespace: cfg.Namespace},
		problems: map[name][]Problem{}, policy: map[name][]Problem{},
	}
}

// change takes an object that is new (was is nil), gone (is is nil) or another than before.
func (w *world) change(was, is metav1.Object) {
	if was != nil {
		w.take(was, false)
	}
	if is != nil {
		w.take(is, true)
	}
}

// take puts one object where it belongs, or takes it away from there.
func (w *world) take(o metav1.Object, here bool) {
	at := name{Namespace: o.GetNamespace(), Name: o.GetName()}
	switch o := o.(type) {
	case *corev1.Node:
		put(w.nodes, o.Name, o, here)
		w.dirtyNodes = true
	case *corev1.Service:
		w.service(at, o, here)
	case *discoveryv1.EndpointSlice:
		at.Name = o.Labels[discoveryv1.LabelServiceName]
		group(w.slices, at, o.Name, o, here)
		w.dirty[at] = struct{}{}
		w.dirtyProxies = w.dirtyProxies || at.Namespace == w.namespace
		w.callers.slice(o, w.places, here)
	case *mcsv1beta1.ServiceExport:
		put(w.exports, at, o, here)
		w.dirty[at] = struct{}{}
	case *v1alpha1.ExternalService:
		put(w.outside, at, o, here)
		w.dirty[at] = struct{}{}
		w.dirtyPolicies[at] = struct{}{}
	case *v1alpha1.Peer:
		put(w.peers, o.Name, o, here)
		w.dirtyPeers = true
	case *v1alpha1.TrafficPolicy:
		at = translate.Target(o.Namespace, o, w.namespace)
		group(w.policies, at, o.Name, o, here && !o.Spec.TargetRef.OfEntry())
		w.dirtyPolicies[at] = struct{}{}
	}
}

func (w *world) service(at name, s *corev1.Service, here bool) {
	if s.Labels[v1alpha1.DerivedLabel] != "" {
		for _, touched := range w.derived.take(s, here) {
			w.dirty[touched] = struct{}{}
		}
		return
	}
	put(w.services, at, s, here)
	w.dirty[at] = struct{}{}
	w.dirtyPolicies[at] = struct{}{} // they depend on whether there is such a Service
}

func put[K comparable, V any](m map[K]V, key K, v V, here bool) {
	if here {
		m[key] = v
	} else {
		delete(m, key)
	}
}

// group puts v into the group of that name, which goes with its last member.
func group[K comparable, V any](m map[K]map[string]V, key K, member string, v V, here bool) {
	if here && m[key] == nil {
		m[key] = map[string]V{}
	}
	put(m[key], member, v, here)
	if len(m[key]) == 0 {
		delete(m, key)
	}
}

// flush builds again what has changed.
func (w *world) flush() discovery.Local {
	w.flushNodes()
	if w.dirtyProxies {
		w.dirtyProxies = false
		w.local.Proxies, w.local.ProxyAddresses = w.proxies()
	}
	w.flushLoops()
	w.flushServices()
	w.flushPolicies()
	if w.dirtyPeers {
		w.dirtyPeers = false
		w.local.Peers, w.peer = choosePeers(w.peers)
	}
	w.local.Localities = w.callers.flush(w.local.Networks)
	return w.local
}

// flushNodes places everything that is on a node that changed, or in a zone that now is in another region.
func (w *world) flushNodes() {
	if !w.dirtyNodes {
		return
	}
	w.dirtyNodes = false
	before := w.places
	own, _ := w.locality()
	w.places = translate.NewPlaces(cmp.Or(w.region, own.Region))
	names := slices.Sorted(maps.Keys(w.nodes))
	for _, n := range names {
		w.places.AddNode(w.nodes[n])
	}
	w.flushLost()
	w.local.Networks = networks(w.nodes, names, w.places)
	w.callers.reset()
	for at, group := range w.slices {
		for _, s := range group {
			for _, e := range translate.Addresses(s) {
				if before.Endpoint(s, e) != w.places.Endpoint(s, e) || before.Unsure(e) != w.places.Unsure(e) {
					w.dirty[at] = struct{}{}
					break
				}
			}
			w.callers.slice(s, w.places, true)
		}
	}
	for _, n := range names {
		w.callers.node(w.nodes[n], w.places)
	}
}

// flushLost keeps account of the nodes with which the control plane has lost touch.
func (w *world) flushLost() {
	maps.DeleteFunc(w.lost, func(n string, _ time.Time) bool { return w.nodes[n] == nil })
	now := time.Now()
	for n, node := range w.nodes {
		until, lost := w.lost[n]
		switch {
		case isLost(node):
			w.lost[n] = time.Time{}
		case lost && until.IsZero():
			w.lost[n] = now.Add(readinessSettle)
		case lost && !until.After(now):
			delete(w.lost, n)
			continue
		case !lost:
			continue
		}
		w.places.AddUnsure(n)
	}
}

// isLost: the node's heartbeat is missing, or it reports that it does not work.
func isLost(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Status != corev1.ConditionTrue })
}

// settling is how long it takes until the readiness of the first node's pods counts again; false if there is no such node.
func (w *world) settling() (time.Duration, bool) {
	var first time.Time
	for _, until := range w.lost {
		if !until.IsZero() && (first.IsZero() || until.Before(first)) {
			first = until
		}
	}
	return time.Until(first), !first.IsZero()
}

// locality is where the own node is; false when there is no such node.
func (w *world) locality() (discovery.Locality, bool) {
	n := w.nodes[w.node]
	if n == nil {
		return discovery.Locality{Region: w.region}, false
	}
	return discovery.Locality{
		Region: cmp.Or(n.Labels[corev1.LabelTopologyRegion], w.region), Zone: n.Labels[corev1.LabelTopologyZone],
	}, true
}

// flushServices builds what is dirty, in the order of names, so that the services beyond the limit are not random.
func (w *world) flushServices() {
	maps.Copy(w.dirty, w.beyond)
	if len(w.dirty) == 0 {
		return
	}
	clear(w.beyond)
	next := w.local.Services
	for _, at := range slices.SortedFunc(maps.Keys(w.dirty), name.Compare) {
		delete(w.problems, at)
		s, problems := w.build(at)
		if len(problems) > 0 {
			w.problems[at] = problems
		}
		switch {
		case s == nil:
			next = next.Without(at)
		case next.Get(at) == nil && next.Len() >= w.most:
			w.beyond[at] = struct{}{}
		default:
			next = next.With(at, s)
		}
	}
	clear(w.dirty)
	w.local.Services = next
}
