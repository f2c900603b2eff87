package dns

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/dns/server"
	"github.com/eastway/eastway/internal/dns/watch"
	"github.com/eastway/eastway/internal/operand"
	"github.com/eastway/eastway/internal/terminal"
)

const (
	// DefaultAdmin is the default address of the admin listener, which differs from a proxy's.
	DefaultAdmin = "127.0.0.1:15053"
	// pathExplain is where it answers `eastway dns explain`; ?name= is one name.
	pathExplain = "/dns"
	// maxNameLength is that of a DNS name, in bytes.
	maxNameLength = 253
)

// options are the flags of `eastway dns`.
type options struct {
	config, listen, admin, health, proxy, logLevel string
	rate                                           int
	allowLoopback                                  bool
}

func (o *options) validate() error {
	switch {
	case o.config == "":
		return errors.New("--config is required: the directory with the manifests of kind DNSZone and GlobalName")
	case o.rate < 0:
		return fmt.Errorf("--rate %d must not be negative", o.rate)
	}
	for flag, address := range map[string]string{"listen": o.listen, "health": o.health} {
		if address == "" && flag == "health" {
			continue
		}
		if _, _, err := operand.SplitHostPort(address); err != nil {
			return fmt.Errorf("--%s %q is not HOST:PORT or :PORT: %w", flag, address, err)
		}
	}
	return operand.Clash(operand.Listener{Flag: "--listen", Address: o.listen}, operand.Listener{Flag: "--admin", Address: o.admin},
		operand.Listener{Flag: "--health", Address: o.health})
}

// NewCommand makes the command `dns`.
func NewCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "dns",
		Short: "Run an authoritative DNS server whose answers are entries that can serve",
		Long: `Dns answers for domains that are delegated to it, with the addresses of entries (load balancers,
ingresses, gateways) that can serve now, until SIGTERM. Run one in each cluster, each a name server of the
domain: each is complete on its own.

An address is in answers while its probe, from here through its public address, passes, and its cluster
does not say that nothing is ready there. The latter comes from a proxy of this cluster (--proxy), which
has it from its peers; a peer out of reach says nothing, so its entry stays in while it passes. When
nothing is in, all addresses that may live are answered.

--config is a directory with manifests of kind DNSZone and GlobalName. Changes are used within seconds; a
manifest that cannot be used stays as it was.`,
		Example: `  eastway dns --config /etc/eastway/dns
  eastway dns explain shop.lb.example.com`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q; '%s explain' is the only one", args[0], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return command.Usagef("%w", err)
			}
			return run(cmd.Context(), o, cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "`directory` with manifests of kind DNSZone and GlobalName (required)")
	f.StringVar(&o.listen, "listen", ":53", "`address` to answer queries on, over UDP and TCP")
	f.IntVar(&o.rate, "rate", server.DefaultRate, "`number` of responses over UDP per second to the clients of one /24 or /56; 0: without limit")
	f.StringVar(&o.proxy, "proxy", admin.DefaultAddress, "`address` of the admin listener of a proxy of this cluster; empty: probes alone decide")
	f.StringVar(&o.admin, "admin", DefaultAdmin, "`address` of the admin listener, a loopback one")
	f.StringVar(&o.health, "health", "", "`address` that serves /healthz, /readyz and /metrics to other machines (default none)")
	f.BoolVar(&o.allowLoopback, "allow-loopback", false, "addresses in manifests may be loopback ones, for trials on one machine")
	f.StringVar(&o.logLevel, "log-level", "info", "least severe log `level`: debug, info, warn or error")
	cmd.AddCommand(newExplainCommand())
	return cmd
}

func newExplainCommand() *cobra.Command {
	var (
		address string
		output  terminal.Format
	)
	cmd := &cobra.Command{
		Use:   "explain [NAME]",
		Short: "Show each address of a name, and why it is in answers or out of them",
		Long: `Explain queries a running 'eastway dns' on this machine about a name, or about all.

STATE: IN, or OUT since that time. ANSWERED: whether clients get the address. With the strategy failover only
the first entry is answered; when nothing is IN, all that may live are. DATA PLANE: what the entry's cluster
says of its services: CAN_SERVE, CANNOT_SERVE, or UNKNOWN, where the probe decides.`,
		Example: `  eastway dns explain shop.lb.example.com
  eastway dns explain -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("unexpected argument %q", args[1])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			report, err := query(cmd, address, name)
			if err != nil {
				return err
			}
			if output == terminal.AsJSON {
				return terminal.JSON(cmd.OutOrStdout(), report)
			}
			return show(cmd.OutOrStdout(), &report, time.Now())
		},
	}
	cmd.Flags().StringVar(&address, "admin", DefaultAdmin, "`address` of the server's admin listener")
	command.AddOutputFlag(cmd, &output)
	return cmd
}

func query(cmd *cobra.Command, address, name string) (watch.Report, error) {
	var report watch.Report
	client, err := admin.NewClient(address)
	if err != nil {
		return report, command.Usagef("--admin: %w", err)
	}
	defer client.Close()
	err = client.Get(cmd.Context(), pathExplain, url.Values{"name": {name}}, &report)
	switch {
	case errors.Is(err, admin.ErrUnreachable):
		return report, command.WithExit(command.Unreachable, fmt.Errorf("%w: is 'eastway dns' running? (--admin)", err))
	case err == nil && name != "" && len(report.Names) == 0:
		return report, command.WithExit(command.NotFound, fmt.Errorf("no GlobalName %s is served: 'eastway dns explain' lists all", name))
	}
	return report, err
}

// show writes a report for a person.
func show(w io.Writer, r *watch.Report, now time.Time) error {
	for i := range r.Names {
		n := &r.Names[i]
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s  %s  TTL %ds\n", n.Name, n.Strategy, n.TTL)
		if n.Panic {
			fmt.Fprintf(w, "No %s address is in: all that may live are answered.\n", n.PanicFamily)
		}
		var rows [][]string
		for j := range n.Entries {
			rows = append(rows, entryRows(&n.Entries[j], now)...)
		}
		headings := []string{"CLUSTER", "REGION", "ADDRESS", "STATE", "SINCE", "ANSWERED", "DATA PLANE", "REASON"}
		if err := terminal.Table(w, headings, rows); err != nil {
			return err
		}
	}
	if len(r.Names) == 0 {
		fmt.Fprintln(w, "no GlobalName is served")
	}
	for i, p := range r.Problems {
		if i == 0 {
			fmt.Fprintln(w, "\nproblems:")
		}
		fmt.Fprintln(w, "  "+terminal.Printable(p))
	}
	return nil
}

func entryRows(e *watch.EntryReport, now time.Time) (rows [][]string) {
	if len(e.Addresses) == 0 {
		return [][]string{{e.Cluster, e.Region, e.Hostname, "OUT", "", terminal.YesNo(false), e.DataPlane, "no address is known"}}
	}
	for i := range e.Addresses {
		a := &e.Addresses[i]
		state := "OUT"
		if a.In {
			state = "IN"
		}
		address := a.Address
		if e.Hostname != "" {
			address += " (" + e.Hostname + ")"
		}
		rows = append(rows, []string{
			e.Cluster, e.Region, address, state, terminal.Age(now.Sub(a.Since)), terminal.YesNo(a.Answered), e.DataPlane, a.Reason,
		})
	}
	return rows
}
