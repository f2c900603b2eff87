package main

import (
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover"
	"github.com/eastway/eastway/internal/admin"
)

// defaultNamespace is Kubernetes' own.
const defaultNamespace = "default"

func newEndpointsCommand() *cobra.Command {
	var (
		address, namespace string
		output             outputFormat
	)
	cmd := &cobra.Command{
		Use:   "endpoints SERVICE",
		Short: "Show where connections to a service can go, and which endpoints are ejected",
		Long: `Endpoints asks a running proxy for the candidates of a service, in the order
of a caller in the proxy's own zone. SERVICE is NAME or NAMESPACE/NAME.

LEVEL: 0 own zone, 1 own region, 2 peers in the same zone or region, 3 peers in
other regions. STATUS: HEALTHY, NOT_READY, or UNREACHABLE (no lane to that peer).
OUTLIER CHECK: OK, FAILED (ejected), PROBING or RAMPING (on its way back).
ACTIVE counts connections under way.`,
		Example: `  eastway endpoints mockb
  eastway endpoints shop/cart -o json`,
		Args: arguments("SERVICE"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return serviceNames(cmd, address), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ns, name, err := parseService(args[0], namespace)
			if err != nil {
				return err
			}
			return ask(address, func(client *admin.Client) error {
				found, err := client.Endpoints(cmd.Context(), ns, name)
				if err != nil {
					return err
				}
				if output == outputJSON {
					return printJSON(cmd.OutOrStdout(), found)
				}
				return printEndpoints(cmd.OutOrStdout(), found.Endpoints)
			})
		},
	}
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "`namespace` of the service (default \"default\")")
	addAdminFlag(cmd, &address)
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

// serviceNames completes SERVICE; without a proxy there is nothing to offer.
func serviceNames(cmd *cobra.Command, address string) []cobra.Completion {
	var names []cobra.Completion
	_ = ask(address, func(client *admin.Client) error {
		status, err := client.Status(cmd.Context())
		for i := range status.Services {
			names = append(names, status.Services[i].Namespace+"/"+status.Services[i].Name)
		}
		return err
	})
	return names
}

func printEndpoints(w io.Writer, endpoints []failover.EndpointStatus) error {
	ports := make(map[uint16]bool)
	for i := range endpoints {
		ports[endpoints[i].Port] = true
	}
	rows := make([][]string, 0, len(endpoints))
	for i := range endpoints {
		e := &endpoints[i]
		rows = append(rows, []string{
			endpointAddress(e, len(ports) > 1), e.Cluster,
			discovery.Locality{Region: e.Region, Zone: e.Zone}.String(), strconv.Itoa(e.Level),
			e.Status, e.OutlierCheck, strconv.Itoa(e.Active), formatRTT(e.RTT),
		})
	}
	headings := []string{"ADDRESS", "CLUSTER", "LOCALITY", "LEVEL", "STATUS", "OUTLIER CHECK", "ACTIVE", "RTT"}
	return printTable(w, headings, rows)
}

// endpointAddress tells the rows of a peer apart where the service has several ports.
func endpointAddress(e *failover.EndpointStatus, severalPorts bool) string {
	if severalPorts && e.Address == e.Cluster {
		return e.Address + ":" + strconv.Itoa(int(e.Port))
	}
	return e.Address
}
