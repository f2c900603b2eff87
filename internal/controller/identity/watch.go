package identity

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Setup makes the manager run the Reconciler while this process leads.
func (r *Reconciler) Setup(m manager.Manager) error {
	request := reconcile.Request{NamespacedName: client.ObjectKey{Name: r.cfg.Cluster}}
	all := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{request}
	})
	tunnels := predicate.NewPredicateFuncs(func(o client.Object) bool {
		return o.GetNamespace() == r.cfg.Namespace && slices.Contains(r.cfg.TunnelServices, o.GetName())
	})
	err := builder.ControllerManagedBy(m).Named("identity").
		WithOptions(controller.Options{
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryMin, retryMax),
		}).
		WatchesRawSource(source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			q.Add(request) // nothing else may ever happen
			return nil
		})).
		Watches(&corev1.Service{}, all, builder.WithPredicates(tunnels)).
		Watches(&corev1.Node{}, all, builder.WithPredicates(predicate.Funcs{UpdateFunc: NodeMoved})).
		Complete(r)
	if err != nil {
		return fmt.Errorf("identity: set up: %w", err)
	}
	return nil
}

// NodeMoved is true if something that addresses are made of changed; most node updates are about other fields.
func NodeMoved(e event.UpdateEvent) bool {
	was, ok := e.ObjectOld.(*corev1.Node)
	is, ok2 := e.ObjectNew.(*corev1.Node)
	return !ok || !ok2 || ready(was) != ready(is) || !equality.Semantic.DeepEqual(was.Status.Addresses, is.Status.Addresses) ||
		!equality.Semantic.DeepEqual(was.Labels, is.Labels)
}
