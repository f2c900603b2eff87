package peers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Backoff after an error.
const (
	retryMin = time.Second
	retryMax = time.Minute
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// Setup makes the manager run the Reconciler while this process leads.
func (r *Reconciler) Setup(m manager.Manager) error {
	request := reconcile.Request{NamespacedName: client.ObjectKey{Name: r.cfg.Cluster}}
	queues := make(chan queue, 1)
	err := builder.ControllerManagedBy(m).Named("peers").
		WithOptions(controller.Options{
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryMin, retryMax),
		}).
		WatchesRawSource(source.Func(func(_ context.Context, q queue) error {
			q.Add(request) // also when there are none, for the catalog
			queues <- q
			return nil
		})).
		Watches(&v1alpha1.Peer{}, handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
			return []reconcile.Request{request}
		})).
		Complete(r)
	if err != nil {
		return fmt.Errorf("peers: set up: %w", err)
	}
	return m.Add(manager.RunnableFunc(func(ctx context.Context) error { return r.follow(ctx, queues, request) }))
}

// follow requests a reconciliation when states or exports change, at most once per statusPace.
func (r *Reconciler) follow(ctx context.Context, queues <-chan queue, request reconcile.Request) error {
	var q queue
	select {
	case q = <-queues:
	case <-ctx.Done():
		return nil
	}
	pace := time.NewTicker(statusPace)
	defer pace.Stop()
	for {
		var reported <-chan struct{}
		if r.cfg.States != nil {
			_, reported = r.cfg.States()
		}
		exported := r.cfg.Catalog.Changed()
		q.Add(request)
		select {
		case <-ctx.Done():
			return nil
		case <-pace.C:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-reported:
		case <-exported:
		}
	}
}
