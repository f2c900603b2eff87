package controller

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-logr/zapr"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	kubediscovery "k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/controller/mcs"
)

// Controller is the whole process but its health listener.
type Controller struct {
	cfg   Config
	log   *zap.Logger
	ready *readiness
	// leader is 1 while this replica leads.
	leader prometheus.Gauge
}

// New validates the Config; the API server is not used before Run.
func New(cfg Config) (*Controller, error) {
	if cfg.Ports == (mcs.PortRange{}) {
		cfg.Ports = DefaultPorts()
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	cfg.REST = rest.CopyConfig(cfg.REST)
	cfg.REST.QPS, cfg.REST.Burst = apiQPS, apiBurst
	cfg.REST.UserAgent = "eastway-controller/" + cfg.Version
	c := &Controller{cfg: cfg, log: cfg.Log, ready: newReadiness(), leader: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "eastway_controller_leader", Help: "1 while this replica leads. The others wait, and write nothing.",
	})}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(c.leader); err != nil {
			return nil, fmt.Errorf("controller: register metrics: %w", err)
		}
	}
	return c, nil
}

// Ready is nil when the objects are known, so that this replica can lead at once; the error names what it waits for.
func (c *Controller) Ready() error { return c.ready.check() }

// IdentityReady is nil unless this replica leads and CA, certificate or Peer manifest are not as they should be.
func (c *Controller) IdentityReady() error { return c.ready.checkIdentity() }

// Run waits for the API server and its CRDs, then for leadership, and works until ctx ends. It returns nil then, and an error
// when leadership was lost: the process must end, and another replica goes on.
func (c *Controller) Run(ctx context.Context) error {
	server, err := kubediscovery.NewDiscoveryClientForConfig(c.cfg.REST)
	if err != nil {
		return fmt.Errorf("controller: access to the API server: %w", err)
	}
	if !await(ctx, server, c.ready, c.log) {
		return nil
	}
	m, err := c.manager(ctx)
	if err != nil {
		return err
	}
	if err := c.setup(ctx, m); err != nil {
		return err
	}
	err = m.Start(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("controller: %w", err)
	}
	return nil
}

// kinds are the objects that are followed.
func kinds() []client.Object {
	return []client.Object{
		&corev1.Service{}, &corev1.Namespace{}, &corev1.Node{}, &discoveryv1.EndpointSlice{},
		&mcsv1beta1.ServiceExport{}, &mcsv1beta1.ServiceImport{}, &v1alpha1.Peer{}, &v1alpha1.TrafficPolicy{}, &v1alpha1.ExternalService{},
	}
}

// Scheme has all types that the controller reads and writes.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, mcsv1beta1.Install, v1alpha1.AddToScheme, gatewayv1.Install,
	} {
		if err := add(s); err != nil {
			return nil, fmt.Errorf("controller: scheme: %w", err)
		}
	}
	return s, nil
}

func (c *Controller) manager(ctx context.Context) (manager.Manager, error) {
	scheme, err := Scheme()
	if err != nil {
		return nil, err
	}
	notDerived, err := labels.NewRequirement(v1alpha1.DerivedLabel, selection.DoesNotExist, nil)
	if err != nil {
		return nil, fmt.Errorf("controller: selector: %w", err)
	}
	stop, yes, timeout := stopTimeout, true, reconcileTimeout
	m, err := manager.New(c.cfg.REST, manager.Options{
		Scheme: scheme,
		// Its info level has only the start; errors stay.
		Logger: zapr.NewLogger(c.log.WithOptions(zap.IncreaseLevel(zap.WarnLevel))),
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Node{}:      {Transform: trimNode},
				&corev1.Namespace{}: {Transform: trimNamespace},
				// All of them change with every proxy, and add nothing.
				&discoveryv1.EndpointSlice{}: {Label: labels.NewSelector().Add(*notDerived)},
			},
			DefaultWatchErrorHandler: func(ctx context.Context, r *toolscache.Reflector, err error) {
				c.ready.watchFailed(r.TypeDescription(), err)
				toolscache.DefaultWatchErrorHandler(ctx, r, err)
			},
		},
		LeaderElection: true, LeaderElectionID: c.cfg.Names.Lease, LeaderElectionNamespace: c.cfg.Namespace,
		LeaderElectionReleaseOnCancel: true, // the process ends with Run
		GracefulShutdownTimeout:       &stop,
		Metrics:                       metricsserver.Options{BindAddress: "0"}, // the process has one listener for all
		HealthProbeBindAddress:        "0",
		BaseContext:                   func() context.Context { return context.WithoutCancel(ctx) },
		Controller: config.Controller{
			SkipNameValidation: &yes, ReconciliationTimeout: timeout,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("controller: %w", err)
	}
	return m, nil
}

// everyReplica is a part that runs whether or not this process leads.
type everyReplica func(ctx context.Context) error

func (e everyReplica) Start(ctx context.Context) error { return e(ctx) }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (e everyReplica) NeedLeaderElection() bool { return false }

// warm reads all objects also where this replica does not lead, so that it can at once.
func (c *Controller) warm(ctx context.Context, m manager.Manager) error {
	for _, o := range kinds() {
		if _, err := m.GetCache().GetInformer(ctx, o, cache.BlockUntilSynced(false)); err != nil {
			return fmt.Errorf("controller: follow %T: %w", o, err)
		}
	}
	return m.Add(everyReplica(func(ctx context.Context) error {
		if m.GetCache().WaitForCacheSync(ctx) {
			c.ready.started()
			c.log.Info("objects are known, waiting to lead")
		}
		c.awaitLead(ctx, m.Elected())
		return nil
	}))
}

// awaitLead returns when this replica leads; it does until its process ends.
func (c *Controller) awaitLead(ctx context.Context, elected <-chan struct{}) {
	select {
	case <-elected:
		c.leader.Set(1)
		c.log.Info("this replica leads")
	case <-ctx.Done():
	}
}

// trimNode keeps what an address is made of.
func trimNode(o any) (any, error) {
	n, ok := o.(*corev1.Node)
	if !ok {
		return o, nil
	}
	return &corev1.Node{
		ObjectMeta: trimmed(&n.ObjectMeta, n.Labels),
		Status:     corev1.NodeStatus{Addresses: n.Status.Addresses, Conditions: n.Status.Conditions},
	}, nil
}

// trimNamespace keeps whether there is one.
func trimNamespace(o any) (any, error) {
	n, ok := o.(*corev1.Namespace)
	if !ok {
		return o, nil
	}
	return &corev1.Namespace{ObjectMeta: trimmed(&n.ObjectMeta, nil)}, nil
}

func trimmed(m *metav1.ObjectMeta, keep map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion, DeletionTimestamp: m.DeletionTimestamp, Labels: keep,
	}
}
