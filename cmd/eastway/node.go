package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/eventlog"
	"github.com/eastway/eastway/internal/kubeconfig"
	"github.com/eastway/eastway/internal/signals"
	"github.com/eastway/eastway/internal/takeover"
	"github.com/eastway/eastway/internal/takeover/nft"
	"github.com/eastway/eastway/internal/version"
)

// nodeOptions are the flags of `eastway node`.
type nodeOptions struct {
	namespace, nodeName       string
	proxiesService, daemonSet string
	proxyHealthPort           uint16
	cluster, svid             string
	health                    string
	state                     string
	checkAddress              string
	allowBBR                  bool
	proc                      string
	cleanup                   bool
	kubeconfig, context       string
	logLevel                  string
}

func newNodeCommand() *cobra.Command {
	var o nodeOptions
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Run a node agent: calls to taken-over Services go to the nearest live proxy",
		Long: `Node runs the agent of one Kubernetes node until SIGTERM. Calls to the cluster IPs of Services with the
annotation eastway.dev/takeover: "true", and to those that back ServiceImports, go to the nearest live
proxy of the cluster, by nftables tables "ip eastway" and "ip6 eastway" on this node. Without a live
proxy, or without the agent, kube-proxy serves those Services as before.

Proxies say for which services they listen, to agents that prove themselves by the certificate in --svid. It
may be missing at first. Proxies that have no listener for that are read as any client reads them.

It needs the node's network namespace and the capability NET_ADMIN. --health serves /healthz,
/readyz, /metrics, and, to clients on this node, /takeovers: where its calls go, and what prevents a takeover.`,
		Example: `  eastway node --node-name $(hostname)

  eastway node --cleanup   # remove the tables that an agent left`,
		Args: command.Arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.cleanup {
				return cleanNode(cmd.OutOrStdout())
			}
			if err := o.validate(); err != nil {
				return command.Usagef("%w", err)
			}
			return runAgent(cmd.Context(), &o, cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.namespace, "namespace", "eastway-system", "`namespace` in which Eastway is installed")
	f.StringVar(&o.nodeName, "node-name", "", "`name` of the Node that this agent is on (required)")
	f.StringVar(&o.proxiesService, "proxies-service", "eastway-proxies", "`name` of the proxies' headless Service")
	f.StringVar(&o.daemonSet, "daemonset", "eastway-node", "`name` of the agents' DaemonSet: an agent that ends when it is gone removes its tables")
	f.Uint16Var(&o.proxyHealthPort, "proxy-health-port", 15020,
		"`port` of the proxies' health listener, where their Service has no port \"health\"")
	f.StringVar(&o.cluster, "cluster", "", "`name` of this cluster, whose proxies alone are trusted (required with --svid)")
	f.StringVar(&o.svid, "svid", "", "`directory` with tls.crt, tls.key and ca.crt of the node agents; \"\": none")
	f.StringVar(&o.health, "health", ":15022", "`IP:PORT` for health, metrics and /takeovers")
	f.StringVar(&o.state, "state", defaultState, "`directory` for the agent's state; \"\": none, a restart then needs the API server")
	f.StringVar(&o.checkAddress, "check-address", serviceFromEnv(),
		"`IP:PORT` of a Service that this node can reach, for the packet check, which shows whether nftables sees calls; \"\": none")
	f.BoolVar(&o.allowBBR, "allow-bbr", false, "let the proxies on this node use the congestion control bbr")
	f.StringVar(&o.proc, "proc", "/proc", "`directory` where the node's /proc is mounted writable, for --allow-bbr")
	f.BoolVar(&o.cleanup, "cleanup", false, "remove the agent's tables from this node, and exit")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig `file` (default: the pod's service account)")
	f.StringVar(&o.context, "context", "", "`context` in the kubeconfig (default: its current one)")
	f.StringVar(&o.logLevel, "log-level", "info", "`level`: debug, info, warn or error")
	// The only error is a flag that does not exist.
	_ = cmd.MarkFlagDirname("state")
	_ = cmd.MarkFlagDirname("svid")
	_ = cmd.MarkFlagDirname("proc")
	_ = cmd.RegisterFlagCompletionFunc("log-level",
		cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// serviceFromEnv is the API server's Service, from the environment that Kubernetes sets in each container.
func serviceFromEnv() string {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if a, err := netip.ParseAddrPort(net.JoinHostPort(host, port)); err == nil {
		return a.String()
	}
	return ""
}

// validate names the first flag that is wrong.
func (o *nodeOptions) validate() error {
	switch {
	case o.nodeName == "":
		return errors.New("--node-name is required: the name of the Node that this agent is on")
	case o.namespace == "":
		return errors.New("--namespace is empty: name the installation's namespace")
	case o.proxiesService == "":
		return errors.New("--proxies-service is empty: name the proxies' headless Service")
	case o.proxyHealthPort == 0:
		return errors.New("--proxy-health-port is 0: name the port of the proxies' health listener")
	}
	if o.svid != "" && o.cluster == "" {
		return errors.New("--svid needs --cluster: the name of this cluster, as its proxies prove it")
	}
	if o.health == "" {
		return errors.New("--health is empty: name the IP:PORT for kubelets and scrapers")
	}
	if err := validateHealth(o.health); err != nil {
		return err
	}
	if _, err := o.check(); err != nil {
		return err
	}
	if _, err := zapcore.ParseLevel(o.logLevel); err != nil {
		return fmt.Errorf("--log-level %q: use debug, info, warn or error", o.logLevel)
	}
	return nil
}

func (o *nodeOptions) check() (netip.AddrPort, error) {
	if o.checkAddress == "" {
		return netip.AddrPort{}, nil
	}
	a, err := netip.ParseAddrPort(o.checkAddress)
	if err != nil || a.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("--check-address %q is not IP:PORT", o.checkAddress)
	}
	return a, nil
}

// cleanNode removes the tables of an agent that is gone.
func cleanNode(stdout io.Writer) error {
	tables, err := nft.New(nft.Config{Timeout: takeover.EntryLife})
	if err != nil {
		return err
	}
	if err := tables.Delete(); err != nil {
		return fmt.Errorf("%w: the node's network namespace and the capability NET_ADMIN are needed", err)
	}
	fmt.Fprintf(stdout, "tables ip %[1]s and ip6 %[1]s are removed\n", nft.TableName)
	return nil
}

// runAgent runs the agent until ctx ends.
func runAgent(ctx context.Context, o *nodeOptions, stderr io.Writer) error {
	level, err := zapcore.ParseLevel(o.logLevel)
	if err != nil {
		return command.Usagef("--log-level: %w", err)
	}
	caught := signals.Catch()
	defer caught.Stop()
	log := eventlog.New(stderr, level)
	limitMemory(log)
	reg := newRegistry(o.cluster)
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if o.allowBBR {
		if err := takeover.AllowBBR(o.proc); err != nil {
			log.Warn("proxies cannot use bbr on this node", zap.Error(err))
		} else {
			log.Info("proxies may use bbr on this node")
		}
	}
	svid, err := o.openSVID(log, reg)
	if err != nil {
		return err
	}
	agent, err := newAgent(ctx, o, svid, log, reg)
	if err != nil {
		return err
	}
	server, err := takeover.Listen(ctx, o.health, agent, reg, log)
	if err != nil {
		return fmt.Errorf("--health: %w", errors.Join(err, agent.Close()))
	}
	log.Info("node agent started", zap.String("node", o.nodeName), zap.Stringer("health", server.Addr()),
		zap.String("version", version.Get().Version))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return agent.Run(ctx) })
	reload := func() {} // all else follows the API server
	if svid != nil {
		g.Go(func() error { return svid.Run(ctx) })
		reload = svid.Reload
	}
	g.Go(func() error { return caught.Run(ctx, log, reload) })
	g.Go(func() error { return server.Run(ctx) })
	err = g.Wait()
	log.Info("node agent stopped", zap.Error(err))
	return err
}

// openSVID opens the agents' certificate, which may come later; nil: none is configured.
func (o *nodeOptions) openSVID(log *zap.Logger, reg prometheus.Registerer) (*certs.FileSource, error) {
	if o.svid == "" {
		return nil, nil
	}
	s, err := certs.NewFileSource(certs.FileSourceConfig{Dir: o.svid, Node: true, Log: log.Named("certs"), Registerer: reg})
	if err != nil {
		return nil, fmt.Errorf("--svid: %w", err)
	}
	return s, nil
}

// credentials are those of the agents' certificate.
func (o *nodeOptions) credentials(svid *certs.FileSource) (*takeover.Credentials, error) {
	if svid == nil {
		return nil, nil
	}
	config, err := certs.NodeClientConfig(svid, o.cluster, nil)
	if err != nil {
		return nil, command.Usagef("--cluster: %w", err)
	}
	return &takeover.Credentials{TLS: config, Missing: func() error {
		_, err := svid.GetX509SVID()
		return err
	}}, nil
}

func newAgent(
	ctx context.Context, o *nodeOptions, svid *certs.FileSource, log *zap.Logger, reg prometheus.Registerer,
) (*takeover.Agent, error) {
	credentials, err := o.credentials(svid)
	if err != nil {
		return nil, err
	}
	client, err := nodeClient(o.kubeconfig, o.context)
	if err != nil {
		return nil, err
	}
	check, err := o.check()
	if err != nil {
		return nil, err
	}
	source, err := takeover.NewKube(takeover.KubeConfig{
		Client: client, Namespace: o.namespace, ProxiesService: o.proxiesService, NodeName: o.nodeName,
		HealthPort: o.proxyHealthPort, Log: log.Named("kube"),
	})
	if err != nil {
		return nil, err
	}
	tables, err := nft.New(nft.Config{Timeout: takeover.EntryLife})
	if err != nil {
		return nil, err
	}
	return takeover.New(ctx, takeover.Config{
		Source: source, Tables: tables, StateDir: o.state, CheckAddress: check, Credentials: credentials,
		Removed: func(ctx context.Context) bool { return takeover.Removed(ctx, client, o.namespace, o.daemonSet) },
		Log:     log.Named("takeover"), Registerer: reg,
	})
}

// nodeQPS and nodeBurst bound an agent's requests per second. Before its first rules it reads the Nodes of all proxies one by
// one: with client-go's 5 a second that would take long where there are many.
const (
	nodeQPS   = 50
	nodeBurst = 100
)

// nodeClient makes a client of the API server: that of the pod's account, or of a kubeconfig. It does not connect yet.
func nodeClient(file, kubeContext string) (kubernetes.Interface, error) {
	cfg, err := kubeconfig.Load(file, kubeContext)
	if err != nil {
		return nil, err
	}
	cfg.QPS, cfg.Burst = nodeQPS, nodeBurst
	cfg.UserAgent = "eastway-node/" + version.Get().Version
	cfg.ContentType, cfg.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("use the kubeconfig: %w", err)
	}
	return client, nil
}
