package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/admin/view"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/terminal"
)

func newAuthzCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "authz",
		Short: "Explain which peers may call which services",
		Long: `A peer may call a service that has a ServiceExport, unless the annotation
eastway.dev/export-to of the ServiceExport does not name it, or spec.exports of its Peer
denies it.`,
		Example: `  eastway authz explain --from cluster-b --to shop/cart`,
	}
	cmd.AddCommand(newAuthzExplainCommand())
	return cmd
}

func newAuthzExplainCommand() *cobra.Command {
	var (
		proxies  proxyFlags
		service  serviceFlag
		output   terminal.Format
		from, to string
	)
	cmd := &cobra.Command{
		Use:   "explain --from PEER --to SERVICE",
		Short: "Tell whether a peer may call a service of this cluster, and by which rule",
		Long: `Explain has a running proxy decide as it does for each stream of the peer. The rule is
not-exported, no-peer, export-to (the annotation of the ServiceExport), exported (nothing
restricts it), or a field of the Peer's spec, such as exports.deny[0]. The reason says what
a rule with a dry run would deny.

--from is PEER or PEER/NAMESPACE/SERVICEACCOUNT. Rules are for all of a peer: the service
account makes no difference. Which proxy is queried is as in 'eastway endpoints'.`,
		Example: `  eastway authz explain --from cluster-b --to shop/cart
  eastway authz explain --from cluster-b/web/frontend --to shop/cart -o json`,
		Args: command.Arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ns, name, err := wholeService(to, service.namespace)
			if err != nil {
				return err
			}
			peer, caller, inside := strings.Cut(from, "/")
			namespace, account, _ := strings.Cut(caller, "/")
			if peer == "" || inside && (namespace == "" || account == "" || strings.Contains(account, "/")) {
				return command.Usagef("--from %q must be PEER or PEER/NAMESPACE/SERVICEACCOUNT", from)
			}
			out := &terminal.Answers{Writer: cmd.OutOrStdout(), JSON: output == terminal.AsJSON, List: proxies.all}
			missing := ""
			err = out.Flush(proxies.ask(cmd, func(at answerer, client *admin.Client) error {
				found, err := client.Authz(cmd.Context(), peer, ns, name)
				if err != nil {
					return err
				}
				missing = cmp.Or(missing, found.Missing)
				return out.Add(at.name(), found, func(w io.Writer) error { return view.Authorization(w, at.source(), &found) })
			}))
			if err == nil && missing != "" {
				err = command.WithExit(command.NotFound, fmt.Errorf("the proxy has no %s", missing))
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "the calling `peer`, or PEER/NAMESPACE/SERVICEACCOUNT (required)")
	flags.StringVar(&to, "to", "", "the called `service`, NAME or NAMESPACE/NAME (required)")
	service.add(cmd, &proxies.kube)
	proxies.add(cmd, eastwayNamespaceFlag)
	command.AddOutputFlag(cmd, &output)
	requireFlags(cmd, "from", "to")
	return cmd
}
