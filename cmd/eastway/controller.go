package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/go-logr/zapr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/controller"
	"github.com/eastway/eastway/internal/controller/gateway"
	controlleridentity "github.com/eastway/eastway/internal/controller/identity"
	"github.com/eastway/eastway/internal/controller/mcs"
	"github.com/eastway/eastway/internal/eventlog"
	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/kubeconfig"
	"github.com/eastway/eastway/internal/siblings"
	"github.com/eastway/eastway/internal/signals"
	"github.com/eastway/eastway/internal/version"
)

// controllerOptions are the flags of `eastway controller`.
type controllerOptions struct {
	cluster, trustDomain, namespace, release string
	publicAddresses, tunnelServices          []string
	proxiesService, ownerClusterRole         string
	listenerPorts, health, logLevel          string
	kubeconfig, context                      string
	gateways                                 gateway.Settings
}

// controllerHealth is the default of --health; 15020 and 15022 are the proxies' and the node agents', 15024 is where proxies expect those.
const controllerHealth = ":15021"

func newControllerCommand() *cobra.Command {
	var o controllerOptions
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Run the controller of a Kubernetes cluster: identity, ServiceImports, statuses",
		Long: `Controller runs the controller of a cluster, until SIGTERM or Ctrl-C: the only process of Eastway that writes
Kubernetes objects. One replica leads; the chart installs two.

It creates the cluster's certificate authority on the first start (Secret RELEASE-ca; an existing one, such as an
intermediate below a shared root, is used and never written). It maintains the certificates of the proxies (Secret
RELEASE-svid) and of the node agents (RELEASE-node-svid), this cluster's Peer manifest (ConfigMap RELEASE-cluster),
and the objects of the Multi-Cluster Services API: conditions of ServiceExports, ServiceImports, EndpointSlices, and
derived Services that select the proxies. With --entry-service, it also gives each Gateway of Eastway's GatewayClasses a
Service that selects the entries, and its addresses.

It accepts no connections from outside and needs no internet access: it learns from the proxies what peers export.`,
		Example: `  eastway controller --cluster cn-hangzhou --namespace eastway-system`,
		Args:    command.Arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return command.Usagef("%w", err)
			}
			return runController(cmd.Context(), &o, cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.cluster, "cluster", "", "this cluster's `name`, a DNS label (required)")
	f.StringVar(&o.trustDomain, "trust-domain", "", "trust `domain` of the CA (default: the existing CA's, or CLUSTER.eastway.internal)")
	f.StringVar(&o.namespace, "namespace", kubecli.DefaultNamespace, "`namespace` in which Eastway is installed")
	f.StringVar(&o.release, "release", kubecli.DefaultRelease, "`name` of the helm release, the prefix of the installation's objects")
	f.StringArrayVar(&o.publicAddresses, "public-address", nil,
		"`host:port` at which peers reach the proxies, instead of the tunnel Services' addresses; may be repeated")
	f.StringArrayVar(&o.tunnelServices, "tunnel-service", nil,
		"`name` of a Service at which peers reach the proxies; may be repeated (default RELEASE-tunnel)")
	f.StringVar(&o.proxiesService, "proxies-service", "", "`name` of the headless Service that selects the proxies (default RELEASE-proxies)")
	f.StringVar(&o.ownerClusterRole, "owner-cluster-role", "",
		"`name` of a ClusterRole that owns the objects created (except the CA), so that they are removed with it")
	f.StringVar(&o.listenerPorts, "listener-ports", rangeText(controller.DefaultPorts()), "`FIRST-LAST` ports of the proxies for services")
	o.gateways.Flags(f)
	f.StringVar(&o.health, "health", controllerHealth, "`IP:PORT` of /healthz, /readyz and /metrics")
	f.StringVar(&o.logLevel, "log-level", "info", "`level`: debug, info, warn or error")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig `file` (default: the pod's service account, else $KUBECONFIG or ~/.kube/config)")
	f.StringVar(&o.context, "context", "", "`context` in the kubeconfig (default: its current one)")
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("log-level",
		cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// validate names the first flag that is wrong.
func (o *controllerOptions) validate() error {
	if o.cluster == "" {
		return errors.New("--cluster is required: the name of this cluster")
	}
	td, err := chosenTrustDomain(o.cluster, o.trustDomain)
	if err != nil {
		return err
	}
	if _, err := certs.ClusterID(td, o.cluster); err != nil {
		return fmt.Errorf("--cluster %q: %w", o.cluster, err)
	}
	for flag, name := range map[string]string{"namespace": o.namespace, "release": o.release} {
		if wrong := validation.IsDNS1123Label(name); len(wrong) > 0 {
			return fmt.Errorf("--%s %q: %s", flag, name, wrong[0])
		}
	}
	if _, err := parseRange(o.listenerPorts); err != nil {
		return fmt.Errorf("--listener-ports %q: %w", o.listenerPorts, err)
	}
	peer := v1alpha1.Peer{ObjectMeta: metav1.ObjectMeta{Name: o.cluster}, Spec: v1alpha1.PeerSpec{Addresses: o.publicAddresses}}
	for _, err := range v1alpha1.ValidatePeer(&peer) {
		if strings.HasPrefix(err.Field, "spec.addresses") {
			return fmt.Errorf("--public-address: %s", err.ErrorBody())
		}
	}
	if err := validateHealth(o.health); err != nil {
		return err
	}
	if _, err := zapcore.ParseLevel(o.logLevel); err != nil {
		return fmt.Errorf("--log-level %q: use debug, info, warn or error", o.logLevel)
	}
	return o.gateways.Validate()
}

// reservedPorts are those that a proxy itself listens on.
func reservedPorts() []uint16 { return []uint16{15000, 15020, 15024, 15443} }

// parseRange reads FIRST-LAST.
func parseRange(s string) (mcs.PortRange, error) {
	first, last, ok := strings.Cut(s, "-")
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	r := mcs.PortRange{First: uint16(a), Last: uint16(b)}
	switch {
	case !ok || errA != nil || errB != nil:
		return r, errors.New("expected two port numbers: FIRST-LAST")
	case a == 0 || a > b:
		return r, errors.New("the first port must be at least 1, and not above the last")
	case slices.ContainsFunc(reservedPorts(), func(p uint16) bool { return p >= r.First && p <= r.Last }):
		return r, fmt.Errorf("the proxies need %v for themselves", reservedPorts())
	}
	return r, nil
}

func rangeText(r mcs.PortRange) string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// names are those of the release, but for what flags say.
func (o *controllerOptions) names() controller.Names {
	n := controller.NamesOf(o.release)
	n.ProxiesService = cmp.Or(o.proxiesService, n.ProxiesService)
	n.OwnerClusterRole = o.ownerClusterRole
	if len(o.tunnelServices) > 0 {
		n.TunnelServices = o.tunnelServices
	}
	return n
}

func runController(ctx context.Context, o *controllerOptions, stderr io.Writer) error {
	level, err := zapcore.ParseLevel(o.logLevel)
	if err != nil {
		return command.Usagef("--log-level: %w", err)
	}
	caught := signals.Catch()
	defer caught.Stop()
	log := eventlog.New(stderr, level)
	limitMemory(log)
	ctrllog.SetLogger(zapr.NewLogger(log))
	reg := newRegistry(o.cluster)
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	c, err := newController(ctx, o, log, reg)
	if err != nil {
		return err
	}
	health, err := admin.Listen(ctx, admin.Config{
		Address: o.health, HealthOnly: true, Gatherer: prometheus.Gatherers{reg, ownMetrics{ctrlmetrics.Registry}}, Registerer: reg,
		Checks: []admin.Check{{Name: "objects", Ready: c.Ready}, {Name: "identity", Ready: c.IdentityReady}},
		Logger: log.Named("health"),
	})
	if err != nil {
		return fmt.Errorf("--health: %w", err)
	}
	log.Info("controller started", zap.String("cluster", o.cluster), zap.String("namespace", o.namespace),
		zap.Stringer("health", health.Addr()), zap.String("version", version.Get().Version))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.Run(ctx) })
	g.Go(func() error { return health.Run(ctx) })
	g.Go(func() error { return caught.Run(ctx, log, func() {}) }) // it follows the API server alone
	err = g.Wait()
	log.Info("controller stopped", zap.Error(err))
	return err
}

func newController(ctx context.Context, o *controllerOptions, log *zap.Logger, reg prometheus.Registerer) (*controller.Controller, error) {
	config, err := kubeconfig.Load(o.kubeconfig, o.context)
	if err != nil {
		return nil, err
	}
	ports, err := parseRange(o.listenerPorts)
	if err != nil {
		return nil, command.Usagef("--listener-ports: %w", err)
	}
	cfg := controller.Config{
		REST: config, Cluster: o.cluster, Namespace: o.namespace, Names: o.names(), PublicAddresses: o.publicAddresses,
		Ports: ports, Gateways: o.gateways, Catalog: discovery.NewCatalog(reg),
		Identity: &controlleridentity.Holder{}, Version: version.Get().Version,
		Log: log, Registerer: reg,
	}
	if o.trustDomain != "" {
		if cfg.TrustDomain, err = chosenTrustDomain(o.cluster, o.trustDomain); err != nil {
			return nil, err
		}
	}
	cfg.Siblings, err = siblings.New(ctx, siblings.Config{
		Cluster: o.cluster, Identity: cfg.Identity, Catalog: cfg.Catalog, Version: cfg.Version,
		Log: log.Named("siblings"), Registerer: reg,
	})
	if err != nil {
		return nil, err
	}
	return controller.New(cfg)
}

// ownMetrics are a registry's without those of the Go runtime and the process, which another one has.
type ownMetrics struct{ prometheus.Gatherer }

// Gather implements prometheus.Gatherer.
func (o ownMetrics) Gather() ([]*dto.MetricFamily, error) {
	families, err := o.Gatherer.Gather()
	return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool {
		return strings.HasPrefix(f.GetName(), "go_") || strings.HasPrefix(f.GetName(), "process_")
	}), err
}
