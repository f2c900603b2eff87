package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/admin/view"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/terminal"
)

func newStatusCommand() *cobra.Command {
	var (
		proxies proxyFlags
		output  terminal.Format
		filter  view.Filter
	)
	cmd := &cobra.Command{
		Use:   "status [SERVICE…]",
		Short: "Show a running proxy's peers, lanes and services",
		Long: `Status shows what a running proxy is connected to and what it serves. In a Kubernetes
cluster it queries a ready proxy, or all (--all); without a kubeconfig, or with --admin,
one on this machine.

On Kubernetes the first line names the pod. Each proxy has its own tunnels.

LANES: CC is the congestion control of the connection, STRM the streams in flight,
LOSS% the share of retransmitted packets. NOTE: "control" is the control connection,
which carries no streams; "quiet" is a lane that received nothing recently, so that the
next stream sends its header alone; else the state of the peer's replica, if it is not
connected.

SERVICES: LOCAL and PEERS count ready endpoints of all, on the port with the fewest.
For an unreachable peer they are the last that it announced.

SERVICE is as for 'eastway endpoints', or NAMESPACE/ for all of a namespace: only these are
listed. With --problems, only peers that are not connected or have an error, services that
lack endpoints or callers of which are refused, and errors.

-o json shows more; durations are in nanoseconds.`,
		Example: `  eastway status
  eastway status --context cluster-a --all
  eastway status shop/ --problems
  eastway status --admin 127.0.0.1:15000`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if filter.Services, err = wantedServices(args); err != nil {
				return err
			}
			out := &terminal.Answers{Writer: cmd.OutOrStdout(), JSON: output == terminal.AsJSON, List: proxies.all}
			return out.Flush(proxies.ask(cmd, func(from answerer, client *admin.Client) error {
				is, err := client.Status(cmd.Context())
				if err != nil {
					return err
				}
				if unknown := filter.Apply(&is); len(unknown) > 0 {
					return command.WithExit(command.NotFound,
						fmt.Errorf("the proxy has no service %s: without arguments, status lists all", strings.Join(unknown, ", ")))
				}
				return out.Add(from.name(), is, func(w io.Writer) error { return view.Status(w, from.source(), is, &filter, time.Now()) })
			}))
		},
	}
	proxies.add(cmd, namespaceFlag)
	cmd.Flags().BoolVar(&filter.Problems, "problems", false, "leave out what is as it should be")
	command.AddOutputFlag(cmd, &output)
	return cmd
}

// wantedServices are those of a view.Filter.
func wantedServices(args []string) (services []string, err error) {
	for _, arg := range args {
		if strings.HasSuffix(arg, "/") {
			services = append(services, arg)
			continue
		}
		namespace, name, err := wholeService(arg, "")
		if err != nil {
			return nil, err
		}
		services = append(services, namespace+"/"+name)
	}
	return services, nil
}
