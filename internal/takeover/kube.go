package takeover

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/eastway/eastway/internal/notify"
)

// KubeConfig selects what to watch.
type KubeConfig struct {
	Client kubernetes.Interface
	// Namespace is the installation's.
	Namespace string
	// ProxiesService is the headless Service of the proxies, in Namespace.
	ProxiesService string
	// NodeName is the Node that this agent is on.
	NodeName string
	// HealthPort of the proxies, where their EndpointSlices name none.
	HealthPort uint16
	Log        *zap.Logger // nil: none
}

// Validate names the first field that is missing.
func (c *KubeConfig) Validate() error {
	switch {
	case c.Client == nil:
		return fmt.Errorf("takeover: KubeConfig.Client is missing")
	case c.Namespace == "":
		return fmt.Errorf("takeover: KubeConfig.Namespace is empty: name the installation's namespace")
	case c.ProxiesService == "":
		return fmt.Errorf("takeover: KubeConfig.ProxiesService is empty: name the proxies' headless Service")
	case c.NodeName == "":
		return fmt.Errorf("takeover: KubeConfig.NodeName is empty: name the Node that this agent is on")
	}
	return nil
}

// Kube is the Source that watches the API server.
type Kube struct {
	cfg      KubeConfig
	log      *zap.Logger
	changed  notify.Signal
	services cache.Store
	slices   cache.Store
	informer [2]cache.Controller
	nodes    *nodes

	mu     sync.Mutex
	synced bool
}

// NewKube makes a source; Run watches.
func NewKube(cfg KubeConfig) (*Kube, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	k := &Kube{cfg: cfg, log: cfg.Log, changed: notify.NewSignal()}
	if k.log == nil {
		k.log = zap.NewNop()
	}
	k.nodes = newNodes(cfg.Client, k.log, k.changed)
	k.services, k.informer[0] = cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: k.watchServices(), ObjectType: &corev1.Service{}, Transform: trimService(cfg.Namespace),
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc: func(o any) { k.wakeFor(o) }, DeleteFunc: func(o any) { k.wakeFor(o) },
			UpdateFunc: func(before, after any) { k.wakeFor(before, after) },
		},
	})
	k.slices, k.informer[1] = cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: k.watchSlices(), ObjectType: &discoveryv1.EndpointSlice{}, Transform: trimSlice,
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { k.changed.Notify() }, DeleteFunc: func(any) { k.changed.Notify() },
			UpdateFunc: func(any, any) { k.changed.Notify() },
		},
	})
	return k, nil
}

func (k *Kube) watchServices() cache.ListerWatcher {
	services := k.cfg.Client.CoreV1().Services(metav1.NamespaceAll)
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return services.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return services.Watch(ctx, o)
		},
	}, k.cfg.Client)
}

func (k *Kube) watchSlices() cache.ListerWatcher {
	endpoints := k.cfg.Client.DiscoveryV1().EndpointSlices(k.cfg.Namespace)
	selector := discoveryv1.LabelServiceName + "=" + k.cfg.ProxiesService
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			return endpoints.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector
			return endpoints.Watch(ctx, o)
		},
	}, k.cfg.Client)
}

// wakeFor signals a change if one of the objects matters.
func (k *Kube) wakeFor(objects ...any) {
	if slices.ContainsFunc(objects, relevant) {
		k.changed.Notify()
	}
}

// Changed is signaled when Inventory may have changed.
func (k *Kube) Changed() <-chan struct{} { return k.changed }

// Run watches until ctx ends. The API server may be away at any time: what is known stays.
func (k *Kube) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(klog.NewContext(ctx, zapr.NewLogger(k.log)))
	for _, informer := range k.informer {
		g.Go(func() error {
			informer.RunWithContext(ctx)
			return nil
		})
	}
	g.Go(func() error { return k.nodes.run(ctx) })
	g.Go(func() error {
		if cache.WaitForCacheSync(ctx.Done(), k.informer[0].HasSynced, k.informer[1].HasSynced) {
			k.mu.Lock()
			k.synced = true
			k.mu.Unlock()
			k.changed.Notify()
		}
		return nil
	})
	return g.Wait()
}

// Inventory is what is known now; ok is false until everything has been read once.
func (k *Kube) Inventory() (inv Inventory, ok bool) {
	k.mu.Lock()
	synced := k.synced
	k.mu.Unlock()
	if !synced {
		return Inventory{}, false
	}
	endpoints := typed[*discoveryv1.EndpointSlice](k.slices)
	labels, read := k.nodes.localities(append(nodesOf(endpoints), k.cfg.NodeName))
	inv = Inventory{
		Self:     labels[k.cfg.NodeName],
		Services: servicesOf(typed[*corev1.Service](k.services), k.cfg.Namespace),
		Proxies:  proxiesOf(endpoints, k.cfg.HealthPort, labels),
	}
	inv.Self.Node = k.cfg.NodeName
	return inv, read
}

func typed[T any](store cache.Store) []T {
	list := store.List()
	out := make([]T, 0, len(list))
	for _, o := range list {
		if t, ok := o.(T); ok {
			out = append(out, t)
		}
	}
	return out
}

// Removed reports whether the agents' DaemonSet is deleted or being deleted, as opposed to an upgrade, an eviction or a node that
// shuts down. An API server that no longer accepts this agent's account means the same: `helm uninstall` removes the rights too.
// Without a response it is false: the entries time out by themselves.
func Removed(ctx context.Context, client kubernetes.Interface, namespace, daemonSet string) bool {
	ds, err := client.AppsV1().DaemonSets(namespace).Get(ctx, daemonSet, metav1.GetOptions{})
	if err == nil {
		return ds.DeletionTimestamp != nil
	}
	return apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}
