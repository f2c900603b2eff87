package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/terminal"
)

// defaultExportWait is how long the controller usually needs, several times over.
const defaultExportWait = 10 * time.Second

func newExportCommand() *cobra.Command {
	var (
		kube    kubeFlags
		service serviceFlag
		wait    time.Duration
	)
	cmd := &cobra.Command{
		Use:   "export SERVICE",
		Short: "Offer a Service of a Kubernetes cluster to its peers",
		Long: `Export creates the ServiceExport of a Service and waits until the controller has set its
status. Peers then call it as SERVICE.NAMESPACE.svc.clusterset.local, or by its own name
where they have taken it over. SERVICE is NAME or NAMESPACE/NAME.`,
		Example: `  eastway export cart -n shop
  eastway export shop/cart --context cluster-b`,
		Args:              command.Arguments("SERVICE"),
		ValidArgsFunction: completeService(&service, &kube),
		RunE: func(cmd *cobra.Command, args []string) error {
			ns, name, err := wholeService(args[0], service.namespace)
			if err != nil {
				return err
			}
			return kube.with(func(c *kubecli.Cluster) error { return export(cmd, c, ns, name, wait) })
		},
	}
	service.add(cmd, &kube)
	kube.add(cmd, eastwayNamespaceFlag)
	cmd.Flags().DurationVar(&wait, "wait", defaultExportWait, "`time` to wait for the controller; 0: do not wait")
	return cmd
}

func newUnexportCommand() *cobra.Command {
	var (
		kube    kubeFlags
		service serviceFlag
	)
	cmd := &cobra.Command{
		Use:   "unexport SERVICE",
		Short: "Stop offering a Service to peers",
		Long: `Unexport deletes the ServiceExport of a Service. If no other cluster exports it, peers lose
its ServiceImport, and its name no longer resolves there. SERVICE is NAME or NAMESPACE/NAME.`,
		Example:           `  eastway unexport cart -n shop`,
		Args:              command.Arguments("SERVICE"),
		ValidArgsFunction: completeService(&service, &kube),
		RunE: func(cmd *cobra.Command, args []string) error {
			ns, name, err := wholeService(args[0], service.namespace)
			if err != nil {
				return err
			}
			return kube.with(func(c *kubecli.Cluster) error {
				if err := c.Unexport(cmd.Context(), ns, name); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s/%s: no longer exported by %s\n", ns, name, terminal.Printable(c.String()))
				return nil
			})
		},
	}
	service.add(cmd, &kube)
	kube.add(cmd, eastwayNamespaceFlag)
	return cmd
}

func completeService(service *serviceFlag, kube *kubeFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return service.completeServices(cmd, kube)
	}
}

func export(cmd *cobra.Command, c *kubecli.Cluster, namespace, name string, wait time.Duration) error {
	already, err := c.Export(cmd.Context(), namespace, name)
	if err != nil {
		return err
	}
	verb := "exported"
	if already {
		verb = "was exported already"
	}
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "%s/%s: %s by %s\n", namespace, name, verb, terminal.Printable(c.String()))
	if wait <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), wait)
	defer cancel()
	conditions, err := c.AwaitExport(ctx, namespace, name)
	if err != nil {
		return err
	}
	printConditions(w, conditions)
	valid := meta.FindStatusCondition(conditions, string(mcsv1beta1.ServiceExportConditionValid))
	switch {
	case valid == nil:
		note(cmd, "no controller set its status within %s: see 'eastway check'", wait)
	case valid.Status == metav1.ConditionFalse:
		return fmt.Errorf("%s/%s cannot be exported: %s", namespace, name, valid.Message)
	case !meta.IsStatusConditionTrue(conditions, string(mcsv1beta1.ServiceExportConditionReady)):
		note(cmd, "it was not announced to peers within %s: see 'eastway check'", wait)
	}
	return nil
}

func printConditions(w io.Writer, conditions []metav1.Condition) {
	for i := range conditions {
		c := &conditions[i]
		fmt.Fprintf(w, "  %s: %s, %s: %s\n",
			terminal.Printable(c.Type), terminal.Printable(string(c.Status)), terminal.Printable(c.Reason), terminal.Printable(c.Message))
	}
}
