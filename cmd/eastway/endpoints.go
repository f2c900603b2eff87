package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/admin/view"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/operand"
	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/internal/terminal"
)

// defaultNamespace is Kubernetes' own.
const defaultNamespace = "default"

func newEndpointsCommand() *cobra.Command {
	var (
		proxies proxyFlags
		service serviceFlag
		output  terminal.Format
	)
	cmd := &cobra.Command{
		Use:   "endpoints SERVICE",
		Short: "Show where connections to a service can go, and which endpoints are ejected",
		Long: `Endpoints shows a running proxy's candidates for a service, in the order for a caller
in the proxy's own zone. In a Kubernetes cluster it queries a ready proxy, or all (--all);
without a kubeconfig, or with --admin, one on this machine. SERVICE is NAME,
NAMESPACE/NAME, svc/NAME or a DNS name such as NAME.NAMESPACE; with :PORT it is about
that port.

LEVEL: 0 own zone, 1 elsewhere in this cluster, the own region first, 2 peers in
the same zone or region, 3 peers in other regions.

STATUS: HEALTHY; EJECTED after failures, with their kind and the time left; PROBING and
RAMPING, on the way back from that; NOT_READY or TERMINATING, as in Kubernetes;
UNREACHABLE, a peer without a lane; FAILED_PROBES, where nothing takes connections;
OUT_OF_SCOPE, where the policy's scope lets no call go;
NO_CONSENT, a peer that exports a service that is not shared here.

OUTLIER CHECK: OK; FAILED while ejected, whatever else the STATUS shows; PROBING and RAMPING.

ACTIVE counts connections in flight. -o json separates readiness (status) and ejection
(outlierCheck, ejectionKind); durations are in nanoseconds.`,
		Example: `  eastway endpoints mockb
  eastway endpoints shop/cart -o json`,
		Args: command.Arguments("SERVICE"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return proxies.completeServices(cmd, args, &service)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			want, err := parseService(args[0], service.namespace)
			if err != nil {
				return err
			}
			out := &terminal.Answers{Writer: cmd.OutOrStdout(), JSON: output == terminal.AsJSON, List: proxies.all}
			return out.Flush(proxies.ask(cmd, func(from answerer, client *admin.Client) error {
				found, err := client.Endpoints(cmd.Context(), want.Namespace, want.Name)
				if err != nil {
					return err
				}
				found.Endpoints = slices.DeleteFunc(found.Endpoints, func(e status.Endpoint) bool {
					return want.Port != 0 && e.Port != want.Port
				})
				if want.Port != 0 && len(found.Endpoints) == 0 {
					err := fmt.Errorf("%s/%s has no endpoints for a port %d", want.Namespace, want.Name, want.Port)
					return command.WithExit(command.NotFound, err)
				}
				return out.Add(from.name(), found, func(w io.Writer) error { return view.Endpoints(w, from.source(), found.Endpoints) })
			}))
		},
	}
	service.add(cmd, &proxies.kube)
	proxies.add(cmd, eastwayNamespaceFlag)
	command.AddOutputFlag(cmd, &output)
	return cmd
}

// parseService reads SERVICE; namespace is that of -n, "" if absent.
func parseService(arg, namespace string) (operand.Service, error) {
	s, err := operand.ParseService(arg, namespace)
	s.Namespace = cmp.Or(s.Namespace, defaultNamespace)
	return s, command.WithExit(command.Usage, err)
}

// serviceAndPort is parseService for a command that has --port, too.
func serviceAndPort(cmd *cobra.Command, arg, namespace string, port uint16) (operand.Service, error) {
	s, err := parseService(arg, namespace)
	switch flag := cmd.Flags().Changed("port"); {
	case err != nil:
		return s, err
	case flag && s.Port != 0 && s.Port != port:
		return s, command.Usagef("%q and --port %d contradict each other", arg, port)
	}
	s.Port = cmp.Or(s.Port, port)
	return s, nil
}

// wholeService is parseService for what is about all ports.
func wholeService(arg, namespace string) (ns, name string, err error) {
	s, err := parseService(arg, namespace)
	if err == nil && s.Port != 0 {
		err = command.Usagef("%q has a port: this is about the whole Service, leave :%d out", arg, s.Port)
	}
	return s.Namespace, s.Name, err
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
