package gateway

import (
	"context"
	"fmt"
	"slices"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/internal/controller/identity"
	"github.com/eastway/eastway/internal/controller/names"
	"github.com/eastway/eastway/internal/controller/settled"
	"github.com/eastway/eastway/internal/pace"
)

// Definitions is the part of a discovery client that is needed.
type Definitions interface {
	ServerResourcesForGroupVersion(groupVersion string) (*metav1.APIResourceList, error)
}

// Setup makes the manager run the Reconciler and a ClassReconciler while this process leads, as soon as the API server has Gateway API.
func (r *Reconciler) Setup(m manager.Manager, server Definitions) error {
	return m.Add(manager.RunnableFunc(func(ctx context.Context) error {
		if !r.await(ctx, server) {
			return nil
		}
		if err := r.follow(m); err != nil && ctx.Err() == nil {
			return err
		}
		return nil
	}))
}

// await waits until Gateways and their classes can be read. It logs what is missing, once per change. It is false if ctx ends first.
func (r *Reconciler) await(ctx context.Context, server Definitions) bool {
	logged := ""
	for failures := 1; ; failures++ {
		missing, wrong := r.missing(ctx, server)
		switch {
		case missing == "":
			return true
		case missing == logged || ctx.Err() != nil:
		case wrong:
			r.log.Warn("Gateways get no Service", zap.String("cause", missing))
		default:
			r.log.Info("waiting for Gateways", zap.String("for", missing))
		}
		logged = missing
		if !pace.Sleep(ctx, pace.Backoff(failures, waitMin, waitMax)) {
			return false
		}
	}
}

// missing is what Gateways cannot be read without, and whether that is a fault of the installation; "": nothing.
func (r *Reconciler) missing(ctx context.Context, server Definitions) (what string, wrong bool) {
	list, err := server.ServerResourcesForGroupVersion(gatewayv1.GroupVersion.String())
	switch {
	case apierrors.IsNotFound(err):
		list = &metav1.APIResourceList{}
	case err != nil:
		return fmt.Sprintf("the API server cannot say which kinds it has: %v", err), false
	}
	for _, needed := range []struct {
		kind string
		list client.ObjectList
	}{{"gatewayclasses", &gatewayv1.GatewayClassList{}}, {"gateways", &gatewayv1.GatewayList{}}} {
		if !slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == needed.kind }) {
			return "the definitions of Gateway API: install its standard channel", false
		}
		// A watch that is forbidden would end the process in the end.
		if err := r.cfg.Direct.List(ctx, needed.list, client.Limit(1)); err != nil {
			return fmt.Sprintf("%s cannot be read: %v: install the chart's ClusterRole", needed.kind, err), apierrors.IsForbidden(err)
		}
	}
	return "", false
}

// follow makes the manager run the reconcilers; it may be running already.
func (r *Reconciler) follow(m manager.Manager) error {
	options := controller.Options{
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryMin, retryMax),
	}
	classes := &ClassReconciler{Client: r.cfg.Client, Writer: r.cfg.Writer}
	if err := builder.ControllerManagedBy(m).Named("gatewayclass").WithOptions(options).For(&gatewayv1.GatewayClass{}).Complete(classes); err != nil {
		return fmt.Errorf("gateway: follow classes: %w", err)
	}
	options.RateLimiter = workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryMin, retryMax)
	options.MaxConcurrentReconciles = 1 // they share the entries' ports
	b := builder.ControllerManagedBy(m).Named("gateway").WithOptions(options).
		Watches(&gatewayv1.Gateway{}, watch(itself)).
		Watches(&gatewayv1.GatewayClass{}, watch(r.ofClass)).
		Watches(&corev1.Service{}, watch(r.ofService))
	if r.cfg.Type == corev1.ServiceTypeNodePort {
		b = b.Watches(&corev1.Node{}, watch(r.everyGateway), builder.WithPredicates(predicate.Funcs{UpdateFunc: identity.NodeMoved}))
	}
	if err := b.Complete(r); err != nil {
		return fmt.Errorf("gateway: follow Gateways: %w", err)
	}
	return nil
}

// watch enqueues the Gateways that an object affects.
func watch(of func(context.Context, client.Object) []types.NamespacedName) handler.EventHandler {
	return settled.Handler(settle, of)
}

func itself(_ context.Context, o client.Object) []types.NamespacedName {
	return []types.NamespacedName{{Namespace: o.GetNamespace(), Name: names.Label(o.GetName())}}
}

func (r *Reconciler) ofClass(ctx context.Context, o client.Object) []types.NamespacedName {
	return r.gateways(ctx, func(g *gatewayv1.Gateway) bool { return string(g.Spec.GatewayClassName) == o.GetName() })
}

func (r *Reconciler) everyGateway(ctx context.Context, _ client.Object) []types.NamespacedName {
	return r.gateways(ctx, func(*gatewayv1.Gateway) bool { return true })
}

func (r *Reconciler) gateways(ctx context.Context, wanted func(*gatewayv1.Gateway) bool) []types.NamespacedName {
	var list gatewayv1.GatewayList
	if err := r.cfg.Client.List(ctx, &list); err != nil {
		return nil // only when the process ends
	}
	var out []types.NamespacedName
	for i := range list.Items {
		if wanted(&list.Items[i]) {
			out = append(out, itself(ctx, &list.Items[i])...)
		}
	}
	return out
}

func (r *Reconciler) ofService(ctx context.Context, o client.Object) []types.NamespacedName {
	if o.GetNamespace() != r.cfg.Namespace {
		return nil
	}
	if o.GetName() == r.cfg.EntryService {
		return r.everyGateway(ctx, o) // perhaps its selector changed
	}
	if key := keyOf(o); key.Namespace != "" && key.Name != "" {
		return []types.NamespacedName{key}
	}
	return nil
}
