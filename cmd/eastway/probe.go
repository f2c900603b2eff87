package main

import (
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/failover"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/admin/view"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/operand"
	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/internal/terminal"
)

// defaultProbeTime is longer than a peer that falls silent takes to be declared dead.
const defaultProbeTime = 10 * time.Second

// errProbeFailed: the call had no answer, or one that is an error.
var errProbeFailed = errors.New("the call failed")

func newProbeCommand() *cobra.Command {
	var (
		proxies proxyFlags
		service serviceFlag
		output  terminal.Format
		q       status.ProbeQuery
		request string
	)
	cmd := &cobra.Command{
		Use:   "probe SERVICE",
		Short: "Make a call to a service through a proxy, and time each hop",
		Long: `Probe has a running proxy make one call to a service as an application of its cluster
does: through its listener, with the policy's order, retries and limits. It prints each
try, how long it took, and for a peer how much of that passed there, in its proxy and its
endpoint; the rest is the tunnel. Which proxy makes the call, and SERVICE, are as in
'eastway endpoints'.

On an HTTP port the call is GET /, or the request whose head --request names, without a
body: 'eastway explain' has the format. The endpoint executes it. On a TCP port a
connection is opened, and closed when an endpoint has accepted it.

The exit code is 1 if the call failed; for HTTP that is a status of 500 or above.`,
		Example: `  eastway probe mockb
  eastway probe shop/cart --port 8000 --all`,
		Args: command.Arguments("SERVICE"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return proxies.completeServices(cmd, args, &service)
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			of, err := serviceAndPort(cmd, args[0], service.namespace, q.Port)
			if err != nil {
				return err
			}
			q.Namespace, q.Name, q.Port = of.Namespace, of.Name, of.Port
			if q.Timeout <= 0 || q.Timeout > failover.MaxProbeTime {
				return command.Usagef("--timeout must be above 0 and %v at most", failover.MaxProbeTime)
			}
			if q.Request, err = readRequest(request); err != nil {
				return err
			}
			out := &terminal.Answers{Writer: cmd.OutOrStdout(), JSON: output == terminal.AsJSON, List: proxies.all}
			return probe(cmd, &proxies, q, out)
		},
	}
	flags := cmd.Flags()
	flags.Var((*operand.Port)(&q.Port), "port", "`port` of the service (default: its first)")
	flags.DurationVar(&q.Timeout, "timeout", defaultProbeTime, "`time` for the call, at most 1m")
	flags.StringVar(&request, "request", "", "`file` with the head of the request, at most 64 KiB")
	service.add(cmd, &proxies.kube)
	proxies.add(cmd, eastwayNamespaceFlag)
	command.AddOutputFlag(cmd, &output)
	return cmd
}

// probe fails if one of the calls does.
func probe(cmd *cobra.Command, proxies *proxyFlags, q status.ProbeQuery, out *terminal.Answers) error {
	failed := false
	err := out.Flush(proxies.ask(cmd, func(from answerer, client *admin.Client) error {
		found, err := client.Probe(cmd.Context(), q)
		if err != nil {
			return err
		}
		failed = failed || !found.OK()
		return out.Add(from.name(), found, func(w io.Writer) error { return view.Probe(w, from.source(), &found) })
	}))
	if err == nil && failed {
		return errProbeFailed
	}
	return err
}
