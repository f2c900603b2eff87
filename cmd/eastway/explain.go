package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	requests "github.com/eastway/eastway/failover/http"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/admin/view"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/operand"
	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/internal/terminal"
)

func newExplainCommand() *cobra.Command {
	var (
		proxies proxyFlags
		service serviceFlag
		output  terminal.Format
		q       status.Query
		request string
	)
	cmd := &cobra.Command{
		Use:   "explain SERVICE",
		Short: "Predict where the next calls to a service go, and name the rule that decides",
		Long: `Explain shows a running proxy's candidates for a service, each with the share of the
next calls that it gets first and the rule that decides. The proxy computes the shares
with the code that chooses, from its state of this moment: what is in flight, ejected,
or ramping up. The call is one of the own cluster, in the proxy's zone or where --from
says. Which proxy is queried, SERVICE, LEVEL and STATUS are as in 'eastway endpoints'.

WEIGHT is that of the locality in the policy's distribute.

--request names a file with the head of an HTTP/1.1 request: the request line, and a
field in each line. It decides for consistentHash by header, cookie or query parameter;
also shown is when such a request is repeated, and its timeout. --source is the caller's
address, for consistentHash by source and session affinity.

-o json has shares and weights in percent.`,
		Example: `  eastway explain mockb
  eastway explain shop/cart --port 8000 --from cn-hangzhou/cn-hangzhou-k
  printf 'GET /cart HTTP/1.1\nHost: cart\nX-User: anna\n' > head
  eastway explain shop/cart --request head`,
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
			if q.Request, err = readRequest(request); err != nil {
				return err
			}
			out := &terminal.Answers{Writer: cmd.OutOrStdout(), JSON: output == terminal.AsJSON, List: proxies.all}
			return out.Flush(proxies.ask(cmd, func(from answerer, client *admin.Client) error {
				return explain(cmd.Context(), client, q, from, out)
			}))
		},
	}
	flags := cmd.Flags()
	flags.Var((*operand.Port)(&q.Port), "port", "`port` of the service (default: each)")
	flags.StringVar(&q.From, "from", "", "the caller's `zone`, or REGION/ZONE (default: the proxy's)")
	flags.StringVar(&q.Source, "source", "", "the caller's IP `address`")
	flags.StringVar(&request, "request", "", "`file` with the head of the request, at most 64 KiB")
	service.add(cmd, &proxies.kube)
	proxies.add(cmd, eastwayNamespaceFlag)
	command.AddOutputFlag(cmd, &output)
	return cmd
}

// explain adds the explanation of one proxy.
func explain(ctx context.Context, client *admin.Client, q status.Query, from answerer, out *terminal.Answers) error {
	found, err := client.Explain(ctx, q)
	if err != nil {
		return err
	}
	return out.Add(from.name(), found, func(w io.Writer) error { return view.Explanations(w, from.source(), found.Ports) })
}

// readRequest reads a request's head; "" is none.
func readRequest(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, command.WithExit(command.NotFound, fmt.Errorf("read --request: %w", err))
	}
	if err != nil {
		return nil, fmt.Errorf("read --request: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, admin.MaxRequestHead+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read --request: %w", err)
	case len(text) > admin.MaxRequestHead:
		return nil, fmt.Errorf("--request %s: longer than %d bytes", file, admin.MaxRequestHead)
	}
	if _, err := requests.ReadHead(text); err != nil { // before a proxy is queried
		return nil, fmt.Errorf("--request %s: %w", file, err)
	}
	return text, nil
}
