package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/operand"
	"github.com/eastway/eastway/internal/terminal"
)

// proxyOptions are the flags of `eastway proxy`.
type proxyOptions struct {
	cluster, region, zone string
	config                string
	kubernetes            bool
	kubeconfig            string
	kubeContext           string
	namespace, nodeName   string
	state, ca, svid       string
	trustDomain           string
	listen                string
	transports            []string
	admin                 string
	adminRemote           bool
	health                string
	healthListeners       bool
	agents                string
	loopbackEndpoints     bool
	accessLog             string
	accessRate            int
	logLevel              string
	drainDelay            time.Duration
	drainTimeout          time.Duration
	peerMemory            resource.QuantityValue
	limits                connectionLimits
}

// connectionLimits are how many connections and streams may be open; 0: the default.
type connectionLimits struct{ connections, perListener, streams, perPeer int }

func (l *connectionLimits) flags(f *pflag.FlagSet) {
	f.Var((*operand.Count)(&l.connections), "max-connections",
		"`number` of applications' connections (default 16384, or what files and memory have room for)")
	f.Var((*operand.Count)(&l.perListener), "max-connections-per-listener",
		"`number` of them to one address of a service (default 8192, or half of what there is room for)")
	f.Var((*operand.Count)(&l.streams), "max-streams", "`number` of streams of all peers (default 16384, or what files and memory have room for)")
	f.Var((*operand.Count)(&l.perPeer), "max-streams-per-peer",
		"`number` of streams, or HTTP requests, of one peer (default 8192, or three quarters of all)")
}

func (l *connectionLimits) validate() error {
	return cmp.Or(operand.Within("--max-connections-per-listener", l.perListener, "--max-connections", l.connections),
		operand.Within("--max-streams-per-peer", l.perPeer, "--max-streams", l.streams))
}

// Defaults of flags.
const (
	// defaultTunnelAddress is any address and the port that peers dial by default.
	defaultTunnelAddress = ":15443"
	defaultState         = "/var/lib/eastway"
	// defaultInstallation is the namespace of the Eastway installation on Kubernetes.
	defaultInstallation = "eastway-system"
	loopbackFlag        = "allow-loopback-endpoints"
	// defaultDrainTimeout is Kubernetes' default terminationGracePeriodSeconds.
	defaultDrainTimeout = 30 * time.Second
)

func newProxyCommand() *cobra.Command {
	var o proxyOptions
	cmd := &cobra.Command{
		Use:   "proxy",
		Short: "Run a proxy: tunnels to peers, listeners for services, failover between endpoints",
		Long: `Proxy runs one proxy of a cluster until SIGTERM or Ctrl-C; then it drains, and a second signal
ends it at once. SIGHUP has it reopen the access log, and read its files anew. A cluster can run
several proxies; each works on its own.

It reads Services, EndpointSlices, ServiceExports, Peers and TrafficPolicies from the directory
--config and follows it: a file that breaks keeps its last good state. It listens on the cluster
IPs of the Services, and on --listen (TCP and UDP) for the tunnels of peers. A peer is
another cluster: "eastway peer export" there, "eastway peer import" here, and vice versa.

With --kubernetes, as in the Helm chart, it follows the API server instead. It listens on the ports
that the controller assigned to imported and taken-over services, and keeps what it knows in
--state, so that it can restart while the API server is down.

The cluster's certificate authority is created in --ca on the first start, unless --svid
names a directory with tls.crt, tls.key and ca.crt that another process renews.`,
		Example: `  eastway proxy --cluster cn-hangzhou --region cn-hangzhou --zone cn-hangzhou-h --config manifests

  # without root: another CA directory and tunnel address
  eastway proxy --cluster a --region r --config manifests --ca ca --listen 127.0.0.2:15443`,
		Args: command.Arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.loopbackEndpoints = o.loopbackEndpoints && (!o.kubernetes || cmd.Flags().Changed(loopbackFlag))
			if err := o.validate(); err != nil {
				return command.Usagef("%w", err)
			}
			return runProxy(cmd.Context(), o, terminal.Raw(cmd.OutOrStdout()), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.cluster, "cluster", "", "this cluster's `name`, a DNS label (required)")
	f.StringVar(&o.region, "region", "", "`region` of this proxy, as topology.kubernetes.io/region names it (required without --node-name)")
	f.StringVar(&o.zone, "zone", "", "`zone` of this proxy, as topology.kubernetes.io/zone names it")
	f.StringVar(&o.config, "config", "", "`directory` of manifests (required without --kubernetes)")
	f.BoolVar(&o.kubernetes, "kubernetes", false, "follow the Kubernetes API server instead of a directory")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig `file` (default: the pod's service account, else $KUBECONFIG or ~/.kube/config)")
	f.StringVar(&o.kubeContext, "context", "", "`context` in the kubeconfig (default: its current one)")
	f.StringVar(&o.namespace, "namespace", defaultInstallation, "`namespace` in which Eastway is installed")
	f.StringVar(&o.nodeName, "node-name", "", "`node` that this proxy runs on: its labels give region and zone")
	f.StringVar(&o.state, "state", defaultState, "`directory` for the proxy's state")
	f.StringVar(&o.ca, "ca", "", "`directory` of the cluster's CA, created on the first start (default STATE/ca)")
	f.StringVar(&o.svid, "svid", "", "`directory` with tls.crt, tls.key and ca.crt, instead of a CA")
	f.StringVar(&o.trustDomain, "trust-domain", "", "trust `domain` of a new CA (default CLUSTER.eastway.internal)")
	o.addressFlags(f)
	f.StringVar(&o.accessLog, "access-log", "-", "`file` for one JSON line per connection; \"-\": stdout, \"\": none")
	f.IntVar(&o.accessRate, "access-log-rate", access.DefaultRate, "`lines` per second of the access log at most; more are counted; 0: all")
	f.StringVar(&o.logLevel, "log-level", "info", "`level`: debug, info, warn or error")
	f.Var(&o.peerMemory, "max-peer-memory",
		"`memory`, such as 256Mi, for what one peer has sent and nothing here has read (default 512Mi, or a quarter of GOMEMLIMIT)")
	o.limits.flags(f)
	f.DurationVar(&o.drainDelay, "drain-delay", 0, "`time` to go on accepting after SIGTERM, so that load balancers notice")
	f.DurationVar(&o.drainTimeout, "drain-timeout", defaultDrainTimeout, "`time` for open connections to end after that; 0: they are reset at once")
	completeProxyFlags(cmd)
	return cmd
}

// addressFlags are about where to listen and what to connect to.
func (o *proxyOptions) addressFlags(f *pflag.FlagSet) {
	f.StringVar(&o.listen, "listen", defaultTunnelAddress, "`IP:PORT` for tunnels, on TCP and UDP; \"\": only dial")
	f.StringSliceVar(&o.transports, "transports", []string{"tcp", "quic"}, "`transports` to use for tunnels: tcp, quic or both")
	f.StringVar(&o.admin, "admin", admin.DefaultAddress, "`IP:PORT` of the admin listener: health, metrics, status, profiles")
	f.BoolVar(&o.adminRemote, "unsafe-admin-remote", false, "allow --admin on an address that other machines reach")
	f.StringVar(&o.health, "health", "", "`IP:PORT` of the health listener, for probes and metrics; \"\": none")
	f.BoolVar(&o.healthListeners, "health-listeners", false,
		"list services to every client of --health, for node agents of the release before; only for an upgrade")
	f.StringVar(&o.agents, "agents", "", "`IP:PORT` of the listener for node agents, which prove themselves by certificate; \"\": none")
	f.BoolVar(&o.loopbackEndpoints, loopbackFlag, true, "allow endpoints at loopback addresses; never with --kubernetes")
}

func completeProxyFlags(cmd *cobra.Command) {
	// The only error is a flag that does not exist.
	for _, name := range []string{"config", "state", "ca", "svid"} {
		_ = cmd.MarkFlagDirname(name)
	}
	for name, words := range map[string][]string{
		"transports": {"tcp", "quic", "tcp,quic"}, "log-level": {"debug", "info", "warn", "error"},
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
}

// validate names the first flag that is wrong.
func (o *proxyOptions) validate() error {
	if o.cluster == "" {
		return errors.New("--cluster is required: the name of this cluster")
	}
	for flag, value := range map[string]string{"region": o.region, "zone": o.zone} {
		if wrong := validation.IsValidLabelValue(value); len(wrong) > 0 {
			return fmt.Errorf("--%s %q: %s", flag, value, wrong[0])
		}
	}
	if _, err := zapcore.ParseLevel(o.logLevel); err != nil {
		return fmt.Errorf("--log-level %q: use debug, info, warn or error", o.logLevel)
	}
	if o.peerMemory.Sign() < 0 || !o.peerMemory.IsZero() && o.peerMemory.Value() < leastPeerMemory {
		return fmt.Errorf("--max-peer-memory %s: must be at least 16Mi, or 0 for the default", &o.peerMemory.Quantity)
	}
	if o.drainDelay < 0 || o.drainTimeout < 0 {
		return errors.New("--drain-delay and --drain-timeout must not be negative")
	}
	if o.accessRate < 0 {
		return errors.New("--access-log-rate must not be negative; 0: all lines")
	}
	return cmp.Or(o.limits.validate(), o.validateSource(), o.validateIdentity(), o.validateAddresses(), o.validateTransports())
}

// validateSource checks where services and locality come from.
func (o *proxyOptions) validateSource() error {
	switch {
	case o.region == "" && o.nodeName == "":
		return errors.New("--region is required: calls prefer endpoints of their own region (on Kubernetes --node-name implies it)")
	case o.config == "" && !o.kubernetes:
		return errors.New("--config is required: the directory of manifests (or --kubernetes)")
	case o.config != "" && o.kubernetes:
		return errors.New("--config excludes --kubernetes: choose one of the two")
	case !o.kubernetes && (o.kubeconfig != "" || o.kubeContext != "" || o.nodeName != ""):
		return errors.New("--kubeconfig, --context and --node-name need --kubernetes")
	case o.nodeName != "" && (o.region != "" || o.zone != ""):
		return errors.New("--node-name excludes --region and --zone: they come from the node's labels")
	}
	return nil
}

func (o *proxyOptions) validateIdentity() error {
	if o.svid != "" && (o.ca != "" || o.trustDomain != "") {
		return errors.New("--svid excludes --ca and --trust-domain: its files hold this cluster's identity")
	}
	td, err := chosenTrustDomain(o.cluster, o.trustDomain)
	if err != nil {
		return err
	}
	if _, err := certs.ClusterID(td, o.cluster); err != nil {
		return fmt.Errorf("--cluster %q: %w", o.cluster, err)
	}
	return nil
}

// accessFile is where the access log goes.
func (o *proxyOptions) accessFile(stdout io.Writer, log *zap.Logger, reg prometheus.Registerer) access.FileConfig {
	return access.FileConfig{Name: o.accessLog, Stdout: stdout, Rate: o.accessRate, Log: log, Registerer: reg}
}

func (o *proxyOptions) validateAddresses() error {
	if o.kubernetes && o.loopbackEndpoints {
		return errors.New("--allow-loopback-endpoints excludes --kubernetes: in a proxy's pod only the proxy itself is at such addresses")
	}
	if o.listen != "" {
		if _, _, err := operand.SplitHostPort(o.listen); err != nil {
			return fmt.Errorf("--listen %q is not IP:PORT: %w", o.listen, err)
		}
	}
	if err := cmp.Or(o.validateInside(), o.validatePorts()); err != nil {
		return err
	}
	valid := func(remote bool) error {
		return (&admin.Config{Address: o.admin, AllowRemote: remote}).Validate()
	}
	err := valid(o.adminRemote)
	switch {
	case err == nil:
		return nil
	case valid(true) == nil:
		return fmt.Errorf("--admin: %w: --unsafe-admin-remote", errors.Unwrap(err))
	default:
		return fmt.Errorf("--admin: %w", errors.Unwrap(err))
	}
}

// validatePorts finds two flags of which only one can be served.
func (o *proxyOptions) validatePorts() error {
	listen := o.listen
	if !slices.Contains(o.transports, "tcp") {
		listen = "" // QUIC is on UDP
	}
	return operand.Clash(operand.Listener{Flag: "--listen", Address: listen}, operand.Listener{Flag: "--admin", Address: o.admin},
		operand.Listener{Flag: "--health", Address: o.health}, operand.Listener{Flag: "--agents", Address: o.agents})
}

// validateInside checks the listeners for the own cluster.
func (o *proxyOptions) validateInside() error {
	if o.health == "" && o.healthListeners {
		return errors.New("--health-listeners needs --health: it adds to what that listener answers")
	}
	if o.health != "" {
		if err := validateHealth(o.health); err != nil {
			return err
		}
	}
	if o.agents == "" {
		return nil
	}
	if err := (&admin.Config{Address: o.agents, HealthOnly: true}).Validate(); err != nil {
		return fmt.Errorf("--agents: %w", errors.Unwrap(err))
	}
	return nil
}

// validateHealth checks --health, also that of other commands.
func validateHealth(address string) error {
	if err := (&admin.Config{Address: address, HealthOnly: true}).Validate(); err != nil {
		return fmt.Errorf("--health: %w", errors.Unwrap(err))
	}
	return nil
}

func (o *proxyOptions) validateTransports() error {
	for i, t := range o.transports {
		t = strings.TrimSpace(t)
		o.transports[i] = t
		if t != "tcp" && t != "quic" {
			return fmt.Errorf("--transports: %q is not a transport: use tcp, quic or both", t)
		}
	}
	if len(o.transports) == 0 {
		return errors.New("--transports is empty: use tcp, quic or both")
	}
	return nil
}

func (o *proxyOptions) caDir() string {
	if o.ca != "" {
		return o.ca
	}
	return filepath.Join(o.state, "ca")
}
