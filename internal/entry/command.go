package entry

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/entry/serve"
	"github.com/eastway/eastway/internal/operand"
	"github.com/eastway/eastway/internal/terminal"
)

const (
	// DefaultAdmin is the default address of the admin listener, which differs from a proxy's.
	DefaultAdmin = "127.0.0.1:15080"
	// pathEntry is where it answers `eastway entry status`.
	pathEntry = "/entry"
)

// options are the flags of `eastway entry`.
type options struct {
	manifests                                string
	kubernetes                               bool
	kubeconfig, kubeContext                  string
	namespace, service                       string
	host, admin, health, accessLog, logLevel string
	trusted                                  []string
	maxConns, accessLogRate                  int
	drainDelay, drainTimeout                 time.Duration
}

// trustedPrefixes are those of --trusted.
func (o *options) trustedPrefixes() (out []netip.Prefix, err error) {
	for _, text := range o.trusted {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("--trusted %q is not a prefix such as 192.0.2.0/24", text)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

func (o *options) validate() error {
	switch {
	case o.maxConns < 1:
		return fmt.Errorf("--max-connections %d must be positive", o.maxConns)
	case o.accessLogRate < 0:
		return fmt.Errorf("--access-log-rate %d must not be negative; 0 is no bound", o.accessLogRate)
	case o.drainDelay < 0 || o.drainTimeout < 0:
		return errors.New("--drain-delay and --drain-timeout must not be negative")
	}
	if err := o.validateSource(); err != nil {
		return err
	}
	if _, err := netip.ParseAddr(o.host); o.host != "" && err != nil {
		return fmt.Errorf("--address %q is not an IP address", o.host)
	}
	if _, _, err := operand.SplitHostPort(o.health); o.health != "" && err != nil {
		return fmt.Errorf("--health %q is not HOST:PORT or :PORT: %w", o.health, err)
	}
	return operand.Clash(operand.Listener{Flag: "--admin", Address: o.admin}, operand.Listener{Flag: "--health", Address: o.health})
}

// NewCommand makes the command `entry`.
func NewCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "entry",
		Short: "Run an entry for HTTP from outside, with routes of Gateway API",
		Long: `Entry serves the listeners of Gateways, and forwards requests as HTTPRoutes and GRPCRoutes say to the address of a
Service or ServiceImport, where Eastway's proxies fail over; until SIGTERM, then it drains.

--manifests is a directory with Gateways, HTTPRoutes, GRPCRoutes, BackendTLSPolicies, ReferenceGrants, Services,
EndpointSlices, ServiceImports, Secrets, ConfigMaps, Namespaces and TrafficPolicies (rateLimit). Changes are used
within seconds and disturb no request; a manifest that cannot be read stays as it was. With --kubernetes they
come from the API server: Gateways whose GatewayClass has the controllerName eastway.dev/entry. A second signal
ends a drain at once.`,
		Example: `  eastway entry --manifests /etc/eastway/entry
  eastway entry --kubernetes --namespace eastway-system --service eastway-system/eastway-entry
  eastway entry status`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q; '%s status' is the only one", args[0], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return command.Usagef("%w", err)
			}
			return run(cmd.Context(), &o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.manifests, "manifests", "", "`directory` with the manifests (required without --kubernetes)")
	f.BoolVar(&o.kubernetes, "kubernetes", false, "follow the Kubernetes API server instead of a directory")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig `file` (default: the pod's service account, else $KUBECONFIG or ~/.kube/config)")
	f.StringVar(&o.kubeContext, "context", "", "`context` in the kubeconfig (default: its current one)")
	f.StringVar(&o.namespace, "namespace", "", "`namespace` with a Service per Gateway, whose targetPorts are listened on "+
		"(default: the Gateways' own ports)")
	f.StringVar(&o.service, "service", "", "`NAMESPACE/NAME` of the Service whose ready endpoints are all entries: they share each rate limit")
	f.StringVar(&o.host, "address", "", "IP `address` that listeners have (default all)")
	f.StringSliceVar(&o.trusted, "trusted", nil, "`prefixes` of load balancers in front, whose X-Forwarded-* headers are believed")
	f.IntVar(&o.maxConns, "max-connections", serve.DefaultMaxConns, "`number` of connections of clients at a time")
	f.StringVar(&o.accessLog, "access-log", "", "`file` for a line per request, in JSON; - is stdout (default none)")
	f.IntVar(&o.accessLogRate, "access-log-rate", access.DefaultRate, "`number` of lines per second at most; 0: all")
	f.DurationVar(&o.drainDelay, "drain-delay", 0, "`time` to go on accepting after SIGTERM, so that load balancers notice")
	f.DurationVar(&o.drainTimeout, "drain-timeout", serve.DefaultDrainTimeout, "`time` for requests to end after that")
	f.StringVar(&o.admin, "admin", DefaultAdmin, "`address` of the admin listener, a loopback one")
	f.StringVar(&o.health, "health", "", "`address` that serves /healthz, /readyz and /metrics to other machines (default none)")
	f.StringVar(&o.logLevel, "log-level", "info", "least severe log `level`: debug, info, warn or error")
	cmd.AddCommand(newStatusCommand())
	return cmd
}

func newStatusCommand() *cobra.Command {
	var (
		address string
		output  terminal.Format
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show listeners, routes and problems of an entry",
		Long: `Status queries a running 'eastway entry' on this machine: the conditions of each listener and route that is not as
its manifest wants it, and what has gone wrong lately.`,
		Example: "  eastway entry status -o json",
		Args:    command.Arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := admin.NewClient(address)
			if err != nil {
				return command.Usagef("--admin: %w", err)
			}
			defer client.Close()
			var r Report
			err = client.Get(cmd.Context(), pathEntry, nil, &r)
			switch {
			case errors.Is(err, admin.ErrUnreachable):
				return command.WithExit(command.Unreachable, fmt.Errorf("%w: is 'eastway entry' running? (--admin)", err))
			case err != nil:
				return err
			case output == terminal.AsJSON:
				return terminal.JSON(cmd.OutOrStdout(), r)
			}
			return show(cmd.OutOrStdout(), &r)
		},
	}
	cmd.Flags().StringVar(&address, "admin", DefaultAdmin, "`address` of the entry's admin listener")
	command.AddOutputFlag(cmd, &output)
	return cmd
}
