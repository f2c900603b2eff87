package mcs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// state is everything that is known of one service.
type state struct {
	name discovery.ServiceName
	// namespace is false when it does not exist here, or is about to go.
	namespace bool
	service   *corev1.Service              // nil: none
	external  *v1alpha1.ExternalService    // nil: none
	export    *mcsv1beta1.ServiceExport    // nil: none
	local     []*discoveryv1.EndpointSlice // of the Service, if it is exported or taken over
	peers     []discovery.PeerExport       // by name; also those that are only remembered

	serviceImport *mcsv1beta1.ServiceImport    // nil: none
	slices        []*discoveryv1.EndpointSlice // ours, beside the import
	derived       map[string]*corev1.Service   // ours, by name
}

// load reads the state from the caches.
func (r *Reconciler) load(ctx context.Context, name discovery.ServiceName) (*state, error) {
	s := &state{name: name}
	var namespace corev1.Namespace
	switch err := r.cfg.Client.Get(ctx, client.ObjectKey{Name: name.Namespace}, &namespace); {
	case err == nil:
		s.namespace = namespace.DeletionTimestamp.IsZero()
	case !apierrors.IsNotFound(err):
		return nil, fmt.Errorf("read Namespace %s: %w", name.Namespace, err)
	}
	var err error
	if s.service, err = get(ctx, r.cfg.Client, name, &corev1.Service{}); err != nil {
		return nil, err
	}
	if s.service != nil && isDerived(r.cfg.Namespace, s.service) {
		s.service = nil // a ServiceExport or a takeover of it would go in circles
	}
	if s.external, err = get(ctx, r.cfg.Client, name, &v1alpha1.ExternalService{}); err != nil {
		return nil, err
	}
	if s.export, err = get(ctx, r.cfg.Client, name, &mcsv1beta1.ServiceExport{}); err != nil {
		return nil, err
	}
	s.leave()
	if s.serviceImport, err = get(ctx, r.cfg.Client, name, &mcsv1beta1.ServiceImport{}); err != nil {
		return nil, err
	}
	if err := r.loadLists(ctx, s); err != nil {
		return nil, err
	}
	return s, r.loadPeers(ctx, s)
}

func (r *Reconciler) loadLists(ctx context.Context, s *state) error {
	var derived corev1.ServiceList
	if err := r.cfg.Client.List(ctx, &derived, client.InNamespace(r.cfg.Namespace),
		client.MatchingFields{derivedIndex: s.name.String()}); err != nil {
		return fmt.Errorf("list the derived Services of %s: %w", s.name, err)
	}
	s.derived = make(map[string]*corev1.Service, len(derived.Items))
	for i := range derived.Items {
		s.derived[derived.Items[i].Name] = &derived.Items[i]
	}
	var err error
	if s.slices, err = r.listSlices(ctx, s.name, importedIndex); err != nil {
		return err
	}
	if s.needsEndpoints() {
		s.local, err = r.listSlices(ctx, s.name, serviceIndex)
	}
	return err
}

// leave takes what is being deleted as gone.
func (s *state) leave() {
	if s.export != nil && !s.export.DeletionTimestamp.IsZero() {
		s.export = nil
	}
	if s.external != nil && !s.external.DeletionTimestamp.IsZero() {
		s.external = nil
	}
}

func (s *state) needsEndpoints() bool {
	wanted, _ := takenOver(s.service)
	return wanted || s.export != nil && s.service != nil
}

func hasReady(s *discoveryv1.EndpointSlice) bool {
	return slices.ContainsFunc(s.Endpoints, func(e discoveryv1.Endpoint) bool { return e.Conditions.Ready == nil || *e.Conditions.Ready })
}

func (r *Reconciler) listSlices(ctx context.Context, name discovery.ServiceName, index string) ([]*discoveryv1.EndpointSlice, error) {
	var list discoveryv1.EndpointSliceList
	if err := r.cfg.Client.List(ctx, &list, client.InNamespace(name.Namespace), client.MatchingFields{index: name.Name}); err != nil {
		return nil, fmt.Errorf("list the EndpointSlices of %s: %w", name, err)
	}
	out := make([]*discoveryv1.EndpointSlice, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, &list.Items[i])
	}
	slices.SortFunc(out, func(a, b *discoveryv1.EndpointSlice) int { return compareText(a.Name, b.Name) })
	return out, nil
}

// loadPeers takes what peers export from the catalog. A peer that exists, but has not connected since this process started, still
// exports what the import remembers: a disconnected peer is not an exporter gone.
func (r *Reconciler) loadPeers(ctx context.Context, s *state) error {
	// This comes first: a peer that connects in between is in both lists, instead of in neither.
	silent := slices.DeleteFunc(s.remembered(r.cfg.Cluster), r.cfg.Catalog.Heard)
	if known := r.cfg.Catalog.Snapshot().Services.Get(s.name); known != nil {
		s.peers = slices.Clone(known.Peers)
	}
	for _, peer := range silent {
		if slices.ContainsFunc(s.peers, func(e discovery.PeerExport) bool { return e.Peer == peer }) {
			continue // it has just connected
		}
		switch err := r.cfg.Client.Get(ctx, client.ObjectKey{Name: peer}, &v1alpha1.Peer{}); {
		case apierrors.IsNotFound(err):
			continue // removed: gone, and everything it exported
		case err != nil:
			return fmt.Errorf("read Peer %s: %w", peer, err)
		}
		e, ok := recall(peer, s.slices)
		if !ok && s.serviceImport == nil {
			continue // a slice without a record
		}
		if !ok { // its slice was lost
			e = discovery.PeerExport{Peer: peer, Ports: importPorts(s.serviceImport), Spec: importSpec(s.serviceImport)}
		}
		s.peers = append(s.peers, e)
	}
	slices.SortFunc(s.peers, func(a, b discovery.PeerExport) int { return compareText(a.Peer, b.Peer) })
	return nil
}

// remembered are the exporting peers according to the import and its slices.
func (s *state) remembered(own string) []string {
	var peers []string
	add := func(peer string) {
		if peer != "" && peer != own && !slices.Contains(peers, peer) {
			peers = append(peers, peer)
		}
	}
	for _, slice := range s.slices {
		add(slice.Labels[mcsv1beta1.LabelSourceCluster])
	}
	if s.serviceImport != nil && ours(s.serviceImport) {
		for _, c := range s.serviceImport.Status.Clusters {
			add(c.Cluster)
		}
	}
	return peers
}

// get reads an object of that name; nil when there is none.
func get[T client.Object](ctx context.Context, c client.Reader, name discovery.ServiceName, into T) (T, error) {
	var none T
	err := c.Get(ctx, objectKey(name), into)
	switch {
	case err == nil:
		return into, nil
	case apierrors.IsNotFound(err):
		return none, nil
	}
	return none, fmt.Errorf("read %T %s: %w", into, name, err)
}

// ours is true for what Eastway wrote.
func ours(o client.Object) bool { return o.GetLabels()[managedByLabel] == v1alpha1.ManagedByName }

func isDerived(namespace string, o client.Object) bool {
	return o.GetNamespace() == namespace && o.GetLabels()[v1alpha1.DerivedLabel] != ""
}

func compareText(a, b string) int { return strings.Compare(a, b) }

// equal is Kubernetes' own: nil and empty are the same.
func equal(a, b any) bool { return equality.Semantic.DeepEqual(a, b) }
