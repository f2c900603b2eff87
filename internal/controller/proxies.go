package controller

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	"go.uber.org/zap"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/eastway/eastway/internal/controller/identity"
)

// tunnelPort is the name of the tunnel port in the proxies' Service.
const tunnelPort = "tunnel"

// proxies gives the siblings the addresses of the proxies.
type proxies struct {
	client    client.Reader
	namespace string
	service   string
	identity  *identity.Holder
	siblings  Siblings
	log       *zap.Logger
	last      []string
}

// Reconcile looks at the slices of the proxies' Service.
func (p *proxies) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	if p.identity.Bundle() == nil {
		return reconcile.Result{}, nil // it runs again once there is one
	}
	var list discoveryv1.EndpointSliceList
	err := p.client.List(ctx, &list, client.InNamespace(p.namespace), client.MatchingLabels{discoveryv1.LabelServiceName: p.service})
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("list the EndpointSlices of Service %s/%s: %w", p.namespace, p.service, err)
	}
	addresses := tunnelAddresses(list.Items)
	if !slices.Equal(addresses, p.last) {
		p.log.Info("proxies of this cluster", zap.Strings("addresses", addresses))
		p.last = addresses
	}
	return reconcile.Result{}, p.siblings.SetProxies(addresses)
}

// tunnelAddresses are IP:PORT of each pod, sorted; a pod with two families counts once, with IPv4 first.
func tunnelAddresses(list []discoveryv1.EndpointSlice) []string {
	slices.SortFunc(list, func(a, b discoveryv1.EndpointSlice) int { // IPv4 before IPv6
		return compare(string(a.AddressType), string(b.AddressType))
	})
	seen := map[string]bool{}
	var out []string
	for i := range list {
		at := slices.IndexFunc(list[i].Ports, func(p discoveryv1.EndpointPort) bool {
			return p.Name != nil && *p.Name == tunnelPort && p.Port != nil
		})
		if at < 0 {
			continue
		}
		port := strconv.Itoa(int(*list[i].Ports[at].Port))
		for _, e := range list[i].Endpoints {
			if len(e.Addresses) == 0 || e.TargetRef != nil && seen[e.TargetRef.Name] {
				continue
			}
			if e.TargetRef != nil {
				seen[e.TargetRef.Name] = true
			}
			out = append(out, net.JoinHostPort(e.Addresses[0], port))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func compare(a, b string) int {
	if a < b {
		return -1
	} else if a > b {
		return 1
	}
	return 0
}

// setup makes the manager run the siblings, and keep their addresses current, while this process leads.
func (p *proxies) setup(m manager.Manager) error {
	request := reconcile.Request{NamespacedName: client.ObjectKey{Namespace: p.namespace, Name: p.service}}
	queues := make(chan workqueue.TypedRateLimitingInterface[reconcile.Request], 1)
	own := predicate.NewPredicateFuncs(func(o client.Object) bool {
		return o.GetNamespace() == p.namespace && o.GetLabels()[discoveryv1.LabelServiceName] == p.service
	})
	err := builder.ControllerManagedBy(m).Named("proxies").
		WithOptions(controller.Options{
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](waitMin, waitMax),
		}).
		WatchesRawSource(source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			queues <- q
			return nil
		})).
		Watches(&discoveryv1.EndpointSlice{}, handler.EnqueueRequestsFromMapFunc(
			func(context.Context, client.Object) []reconcile.Request { return []reconcile.Request{request} },
		), builder.WithPredicates(own)).
		Complete(p)
	if err != nil {
		return fmt.Errorf("controller: follow the proxies: %w", err)
	}
	if err := m.Add(manager.RunnableFunc(p.siblings.Run)); err != nil {
		return fmt.Errorf("controller: add the siblings: %w", err)
	}
	return m.Add(manager.RunnableFunc(func(ctx context.Context) error {
		select {
		case q := <-queues:
			return p.followIdentity(ctx, q, request)
		case <-ctx.Done():
			return nil
		}
	}))
}

// followIdentity sets the addresses again whenever the own certificate or bundle changes, to update trust.
func (p *proxies) followIdentity(
	ctx context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request], request reconcile.Request,
) error {
	for {
		changed := p.identity.Changed()
		q.Add(request)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}
