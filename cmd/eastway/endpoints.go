package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/admin/view"
	"github.com/eastway/eastway/internal/terminal"
)

// defaultNamespace is Kubernetes' own.
const defaultNamespace = "default"

func newEndpointsCommand() *cobra.Command {
	var (
		proxies proxyFlags
		service serviceFlag
		output  outputFormat
	)
	cmd := &cobra.Command{
		Use:   "endpoints SERVICE",
		Short: "Show where connections to a service can go, and which endpoints are ejected",
		Long: `Endpoints shows a running proxy's candidates for a service, in the order for a caller
in the proxy's own zone. In a Kubernetes cluster it queries a ready proxy, or all (--all);
without a kubeconfig, or with --admin, one on this machine. SERVICE is NAME or
NAMESPACE/NAME.

LEVEL: 0 own zone, 1 own region, 2 peers in the same zone or region, 3 peers in
other regions.

STATUS: HEALTHY; EJECTED after failures, with their kind and the time left; PROBING and
RAMPING, on the way back from that; NOT_READY or TERMINATING, as in Kubernetes;
UNREACHABLE, a peer without a lane; OUT_OF_SCOPE, where the policy's scope lets no call go;
NO_CONSENT, a peer that exports a service that is not shared here.

ACTIVE counts connections in flight. -o json separates readiness (status) and ejection
(outlierCheck, ejectionKind); durations are in nanoseconds.`,
		Example: `  eastway endpoints mockb
  eastway endpoints shop/cart -o json`,
		Args: arguments("SERVICE"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return proxies.completeServices(cmd, args, &service)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ns, name, err := parseService(args[0], service.namespace)
			if err != nil {
				return err
			}
			out := &terminal.Answers{Writer: cmd.OutOrStdout(), JSON: output == outputJSON, List: proxies.all}
			return out.Flush(proxies.ask(cmd, func(from answerer, client *admin.Client) error {
				found, err := client.Endpoints(cmd.Context(), ns, name)
				if err != nil {
					return err
				}
				return out.Add(from.name(), found, func(w io.Writer) error { return view.Endpoints(w, from.source(), found.Endpoints) })
			}))
		},
	}
	service.add(cmd, &proxies.kube)
	proxies.add(cmd, eastwayNamespaceFlag)
	addOutputFlag(cmd, &output)
	return cmd
}

// parseService reads NAME or NAMESPACE/NAME; namespace is that of -n, "" if absent.
func parseService(arg, namespace string) (ns, name string, err error) {
	ns, name, qualified := strings.Cut(arg, "/")
	if !qualified {
		ns, name = namespace, arg
		if ns == "" {
			ns = defaultNamespace
		}
	}
	if ns == "" || name == "" || strings.Contains(name, "/") {
		return "", "", usageErrorf("%q is not a service: write NAME or NAMESPACE/NAME", arg)
	}
	if qualified && namespace != "" && namespace != ns {
		return "", "", usageErrorf("%q and --namespace %s contradict each other", arg, namespace)
	}
	return ns, name, nil
}

// completeServices completes SERVICE from the proxy that would be queried.
func (p *proxyFlags) completeServices(cmd *cobra.Command, args []string, service *serviceFlag) ([]cobra.Completion, cobra.ShellCompDirective) {
	switch {
	case len(args) > 0:
		return nil, cobra.ShellCompDirectiveNoFileComp
	case p.local(cmd):
		return serviceNames(cmd, p.address), cobra.ShellCompDirectiveNoFileComp
	default:
		return service.completeServices(cmd, &p.kube)
	}
}

// serviceNames completes SERVICE; without a proxy it offers none.
func serviceNames(cmd *cobra.Command, address string) []cobra.Completion {
	var names []cobra.Completion
	_ = ask(address, func(client *admin.Client) error {
		is, err := client.Status(cmd.Context())
		for i := range is.Services {
			names = append(names, is.Services[i].Namespace+"/"+is.Services[i].Name)
		}
		return err
	})
	return names
}
