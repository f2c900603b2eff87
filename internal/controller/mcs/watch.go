package mcs

import (
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/controller/settled"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/internal/pace"
)

// Indexes of the caches.
const (
	derivedIndex  = "eastway.derived"  // Services by the NAMESPACE/NAME that they stand for
	serviceIndex  = "eastway.service"  // EndpointSlices by the Service of their namespace
	importedIndex = "eastway.imported" // our EndpointSlices by the import of their namespace
)

// Backoff of a service that cannot be brought into line.
const (
	retryMin = 200 * time.Millisecond
	retryMax = time.Minute // the longest that a user waits after a repair
)

type queue = settled.Queue

// Indexer is the part of a cache (or of a fake client's builder) that Index needs.
type Indexer func(o client.Object, field string, values client.IndexerFunc) error

// Index adds the indexes that a Reconciler reads by.
func Index(add Indexer, namespace string) error {
	for _, i := range []struct {
		object client.Object
		field  string
		values client.IndexerFunc
	}{
		{&corev1.Service{}, derivedIndex, func(o client.Object) []string {
			if !isDerived(namespace, o) {
				return nil
			}
			return []string{derivedFrom(o).String()}
		}},
		{&discoveryv1.EndpointSlice{}, serviceIndex, func(o client.Object) []string {
			if name := o.GetLabels()[discoveryv1.LabelServiceName]; name != "" && !importedSlice(o) {
				return []string{name}
			}
			return nil
		}},
		{&discoveryv1.EndpointSlice{}, importedIndex, func(o client.Object) []string {
			if name := o.GetLabels()[mcsv1beta1.LabelServiceName]; name != "" && importedSlice(o) {
				return []string{name}
			}
			return nil
		}},
	} {
		if err := add(i.object, i.field, i.values); err != nil {
			return fmt.Errorf("index %T by %s: %w", i.object, i.field, err)
		}
	}
	return nil
}

func importedSlice(o client.Object) bool {
	return o.GetLabels()[discoveryv1.LabelManagedBy] == v1alpha1.ManagedBy
}

func derivedFrom(o client.Object) discovery.ServiceName {
	return discovery.ServiceName{
		Namespace: o.GetLabels()[v1alpha1.ServiceNamespaceLabel], Name: o.GetLabels()[v1alpha1.ServiceNameLabel],
	}
}

// Setup makes the manager run the Reconciler while this process leads.
func (r *Reconciler) Setup(ctx context.Context, m manager.Manager) error {
	err := Index(func(o client.Object, field string, values client.IndexerFunc) error {
		return m.GetFieldIndexer().IndexField(ctx, o, field, values)
	}, r.cfg.Namespace)
	if err != nil {
		return err
	}
	start := &begin{ports: r.cfg.Ports, reader: m.GetAPIReader(), namespace: r.cfg.Namespace, queues: make(chan queue, 1)}
	err = builder.ControllerManagedBy(m).Named("service").
		WithOptions(controller.Options{
			MaxConcurrentReconciles: workers,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryMin, retryMax),
		}).
		WatchesRawSource(start).
		Watches(&corev1.Service{}, watch(r.ofService)).
		Watches(&mcsv1beta1.ServiceExport{}, watch(itself)).
		Watches(&v1alpha1.ExternalService{}, watch(itself)).
		Watches(&mcsv1beta1.ServiceImport{}, watch(itself)).
		Watches(&discoveryv1.EndpointSlice{}, watch(r.ofSlice)).
		Watches(&corev1.Namespace{}, handler.Funcs{CreateFunc: r.namespaceCreated, UpdateFunc: r.namespaceUpdated}).
		Watches(&v1alpha1.Peer{}, handler.Funcs{DeleteFunc: r.peerDeleted}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("mcs: set up: %w", err)
	}
	return m.Add(manager.RunnableFunc(func(ctx context.Context) error { return r.follow(ctx, start.queues) }))
}

// begin is a source that gives no events: before the first service is looked at it learns which ports are taken.
type begin struct {
	ports     *Ports
	reader    client.Reader
	namespace string
	queues    chan queue // takes the controller's queue
}

// Start implements source.Source.
func (b *begin) Start(_ context.Context, q queue) error {
	b.queues <- q
	return nil
}

// WaitForSync implements source.SyncingSource.
func (b *begin) WaitForSync(ctx context.Context) error {
	return b.ports.Load(ctx, b.reader, b.namespace)
}

// watch enqueues the services that an object affects.
func watch(of func(context.Context, client.Object) []types.NamespacedName) handler.EventHandler {
	return settled.Handler(settle, of)
}

func itself(_ context.Context, o client.Object) []types.NamespacedName {
	return []types.NamespacedName{client.ObjectKeyFromObject(o)}
}

func (r *Reconciler) ofService(ctx context.Context, o client.Object) []types.NamespacedName {
	switch {
	case isDerived(r.cfg.Namespace, o):
		return []types.NamespacedName{objectKey(derivedFrom(o))}
	case o.GetNamespace() == r.cfg.Namespace && o.GetName() == r.cfg.ProxiesService:
		return append(r.allDerived(ctx), client.ObjectKeyFromObject(o)) // perhaps its selector changed
	}
	return itself(ctx, o)
}

func (r *Reconciler) allDerived(ctx context.Context) []types.NamespacedName {
	var list corev1.ServiceList
	if err := r.cfg.Client.List(ctx, &list, client.InNamespace(r.cfg.Namespace), client.HasLabels{v1alpha1.DerivedLabel}); err != nil {
		return nil // only when the process ends
	}
	names := make([]types.NamespacedName, 0, len(list.Items))
	for i := range list.Items {
		names = append(names, objectKey(derivedFrom(&list.Items[i])))
	}
	return names
}

// ofSlice leaves out the slices of services that are neither exported nor taken over: pods come and go all the time.
func (r *Reconciler) ofSlice(ctx context.Context, o client.Object) []types.NamespacedName {
	if importedSlice(o) {
		return []types.NamespacedName{{Namespace: o.GetNamespace(), Name: o.GetLabels()[mcsv1beta1.LabelServiceName]}}
	}
	name := discovery.ServiceName{Namespace: o.GetNamespace(), Name: o.GetLabels()[discoveryv1.LabelServiceName]}
	if name.Name == "" || isDerived(r.cfg.Namespace, o) { // Kubernetes copies a Service's labels to its slices
		return nil
	}
	if !carried(ctx, r.cfg.Client, name) {
		return nil
	}
	return []types.NamespacedName{objectKey(name)}
}

// carried is false for services that are neither exported nor taken over.
func carried(ctx context.Context, c client.Reader, name discovery.ServiceName) bool {
	if export, err := get(ctx, c, name, &mcsv1beta1.ServiceExport{}); err != nil || export != nil {
		return true
	}
	service, err := get(ctx, c, name, &corev1.Service{})
	wanted, _ := takenOver(service)
	return err != nil || wanted
}

func (r *Reconciler) namespaceCreated(_ context.Context, e event.CreateEvent, q queue) {
	if !e.IsInInitialList { // then everything is looked at anyway
		r.wholeNamespace(e.Object.GetName(), q)
	}
}

func (r *Reconciler) namespaceUpdated(_ context.Context, e event.UpdateEvent, q queue) {
	if e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero() {
		r.wholeNamespace(e.ObjectNew.GetName(), q)
	}
}

// wholeNamespace enqueues what peers export into the namespace; exports of our own have events of their own.
func (r *Reconciler) wholeNamespace(namespace string, q queue) {
	for name := range r.cfg.Catalog.Snapshot().Services.All() {
		if name.Namespace == namespace {
			q.AddAfter(reconcile.Request{NamespacedName: objectKey(name)}, settle)
		}
	}
}

// peerDeleted enqueues all imports: the peer may be remembered by any of them.
func (r *Reconciler) peerDeleted(ctx context.Context, _ event.DeleteEvent, q queue) {
	r.allImports(ctx, q)
}

func (r *Reconciler) allImports(ctx context.Context, q queue) {
	var list mcsv1beta1.ServiceImportList
	if err := r.cfg.Client.List(ctx, &list); err != nil {
		return // only when the process ends
	}
	for i := range list.Items {
		if o := &list.Items[i]; ours(o) {
			q.AddAfter(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(o)}, settle)
		}
	}
}

// follow enqueues what changes in the catalog, until ctx ends.
func (r *Reconciler) follow(ctx context.Context, queues <-chan queue) error {
	var q queue
	select {
	case q = <-queues:
	case <-ctx.Done():
		return nil
	}
	tick := time.NewTicker(heardPace)
	defer tick.Stop()
	var last hashtrie.Map[discovery.ServiceName, *discovery.Service]
	heard := map[string]bool{}
	for {
		changed := r.cfg.Catalog.Changed()
		snapshot := r.cfg.Catalog.Snapshot()
		for name := range hashtrie.Differing(last, snapshot.Services) {
			q.Add(reconcile.Request{NamespacedName: objectKey(name)})
		}
		last = snapshot.Services
		if now := r.heard(snapshot); !maps.Equal(heard, now) {
			// What is remembered of such a peer may be outdated.
			heard = now
			r.allImports(ctx, q)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
		}
		if !pace.Sleep(ctx, catalogPace) {
			return nil
		}
	}
}

// heard are the peers that have connected since this process started.
func (r *Reconciler) heard(s *discovery.Snapshot) map[string]bool {
	out := make(map[string]bool, len(s.Peers))
	for name := range s.Peers {
		if r.cfg.Catalog.Heard(name) {
			out[name] = true
		}
	}
	return out
}
