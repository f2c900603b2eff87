package drill

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/drill"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/operand"
	"github.com/eastway/eastway/internal/terminal"
)

const (
	defaultPercent = 5
	defaultTime    = 10 * time.Minute
)

// errOverBudget: the drill has found something.
var errOverBudget = errors.New("more calls failed than the error budget allows")

// NewCommand makes the command `drill`. connect calls f with the proxies that are to take part, and closes their clients.
func NewCommand(connect func(cmd *cobra.Command, f func([]Proxy) error) error) *cobra.Command {
	var (
		spec    drill.Spec
		scope   string
		callers []string
		output  terminal.Format
	)
	kinds := make([]cobra.Completion, 0, len(drill.Kinds()))
	for _, k := range drill.Kinds() {
		kinds = append(kinds, string(k))
	}
	cmd := &cobra.Command{
		Use:   "drill KIND",
		Short: "Have a part of the real calls lose a region, a zone or a service, and report",
		Long: `Drill has the proxies of a cluster fail a part of the calls of its applications on
purpose. KIND is

  region-loss    they lose all endpoints in the region, those of peers too
  zone-loss      they lose the cluster's own endpoints in the zone
  service-loss   they lose the service's endpoints here, or in cluster=
  latency        they wait for --delay if they would go into the scope

Calls that are part of it go where they would go without those endpoints, and fail if
there is no other. Nothing changes for all other calls, and no endpoint is ejected.
--scope is a list: service= and port= say which calls, cluster=, region= and zone= which
endpoints.

A drill ends with Ctrl-C, after --for, and as soon as more of the affected calls have
failed than --error-budget allows, or at one proxy more than its equal share. A proxy that
does not hear from this command for 5 s ends it by itself, and nothing stays behind. The
exit code is 1 if the budget was spent.`,
		Example: `  eastway drill region-loss --scope region=eu --percent 5 --for 10m
  eastway drill service-loss --scope service=shop/cart --percent 100 --for 30s --error-budget 10
  eastway drill latency --scope region=us --delay 300ms`,
		Args:      command.Arguments("KIND"),
		ValidArgs: kinds,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			spec.Kind = drill.Kind(args[0])
			if spec.Scope, err = parseScope(scope); err != nil {
				return command.Usagef("--scope: %w", err)
			}
			if spec.Callers, err = parseCallers(callers); err != nil {
				return command.Usagef("--caller: %w", err)
			}
			if err := spec.Validate(); err != nil {
				return command.Usagef("%w", err)
			}
			return connect(cmd, func(proxies []Proxy) error { return operate(cmd, proxies, &spec, output) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&scope, "scope", "", "which calls and endpoints, a `list` such as service=shop/cart,region=eu (required)")
	f.Float64Var(&spec.Percent, "percent", defaultPercent, "`share` of the calls, from 0.01 to 100")
	f.StringSliceVar(&callers, "caller", nil, "only calls from the `CIDR`; may be repeated")
	f.DurationVar(&spec.For, "for", defaultTime, "`time` after which it ends, at most 1h")
	f.DurationVar(&spec.Delay, "delay", 0, "`time` that each call of latency waits, at most 30s")
	f.IntVar(&spec.Budget, "error-budget", 0, "`number` of affected calls that may fail; one more ends it")
	command.AddOutputFlag(cmd, &output)
	return cmd
}

// operate runs the drill, and prints.
func operate(cmd *cobra.Command, proxies []Proxy, spec *drill.Spec, output terminal.Format) error {
	begins(cmd.ErrOrStderr(), spec, len(proxies))
	r, err := run(cmd.Context(), proxies, spec, func(r *Result) { soFar(cmd.ErrOrStderr(), r) })
	if r == nil {
		return err
	}
	var printed error
	if output == terminal.AsJSON {
		printed = terminal.JSON(cmd.OutOrStdout(), r)
	} else {
		printed = Report(cmd.OutOrStdout(), r)
	}
	switch {
	case err != nil:
		return command.WithExit(command.Unreachable, errors.Join(err, printed))
	case r.OverBudget():
		return errors.Join(errOverBudget, printed)
	}
	return printed
}

// parseScope reads KEY=VALUE,….
func parseScope(text string) (s drill.Scope, err error) {
	if text == "" {
		return s, errors.New("it is required: a list such as service=shop/cart,region=eu")
	}
	for part := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || value == "" {
			return s, fmt.Errorf("%q is not KEY=VALUE", part)
		}
		switch key {
		case "service":
			of, err := operand.ParseService(value, "")
			if err != nil {
				return s, err
			}
			s.Service = discovery.ServiceName{Namespace: cmp.Or(of.Namespace, "default"), Name: of.Name}
			s.Port = cmp.Or(of.Port, s.Port)
		case "port":
			port, err := strconv.ParseUint(value, 10, 16)
			if err != nil || port == 0 {
				return s, fmt.Errorf("port %q is not from 1 to 65535", value)
			}
			s.Port = uint16(port)
		case "cluster":
			s.Cluster = value
		case "region":
			s.Region = value
		case "zone":
			s.Zone = value
		default:
			return s, fmt.Errorf("%q: the keys are service, port, cluster, region and zone", key)
		}
	}
	return s, nil
}

// parseCallers reads CIDRs, and addresses.
func parseCallers(texts []string) (all []netip.Prefix, err error) {
	for _, text := range texts {
		one, err := netip.ParsePrefix(text)
		if address, wrong := netip.ParseAddr(text); wrong == nil {
			one, err = address.Prefix(address.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("%q is not a CIDR, such as 10.1.0.0/16", text)
		}
		all = append(all, one.Masked())
	}
	return all, nil
}
