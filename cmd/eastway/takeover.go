package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/kubecli/check"
	"github.com/eastway/eastway/internal/terminal"
)

// defaultTakeoverWait covers the controller's, the proxies' and the agents' part.
const defaultTakeoverWait = 30 * time.Second

// takeoverFlags of takeover.
type takeoverFlags struct {
	kube                kubeFlags
	service             serviceFlag
	undo, dryRun, force bool
	wait                time.Duration
}

func newTakeoverCommand() *cobra.Command {
	var f takeoverFlags
	cmd := &cobra.Command{
		Use:   "takeover SERVICE",
		Short: "Let Eastway serve a Service's own name and cluster IP, so that callers need no change",
		Long: `Takeover sends calls to a Service's cluster IP to the nearest proxy, which sends them to the
nearest healthy endpoint: own zone, own region, then peers that export a Service of that name
and namespace. It first checks that this will work, and changes nothing if not; then it sets the annotation
` + v1alpha1.TakeoverAnnotation + `: "true" and waits until the agents of all nodes apply it. Open
connections stay where they are; new ones follow. Without a live proxy, or without the agent,
kube-proxy serves the Service as before. SERVICE is NAME or NAMESPACE/NAME.`,
		Example: `  eastway takeover cart -n shop --dry-run
  eastway takeover shop/cart
  eastway takeover shop/cart --undo`,
		Args:              command.Arguments("SERVICE"),
		ValidArgsFunction: completeService(&f.service, &f.kube),
		RunE: func(cmd *cobra.Command, args []string) error {
			ns, name, err := wholeService(args[0], f.service.namespace)
			if err != nil {
				return err
			}
			return f.kube.with(func(c *kubecli.Cluster) error {
				service, err := c.ServiceToTake(cmd.Context(), ns, name)
				if err != nil {
					return err
				}
				return f.run(cmd, c, service)
			})
		},
	}
	f.service.add(cmd, &f.kube)
	f.kube.add(cmd, eastwayNamespaceFlag)
	flags := cmd.Flags()
	flags.BoolVar(&f.undo, "undo", false, "return the Service to kube-proxy")
	flags.BoolVar(&f.dryRun, "dry-run", false, "check only")
	flags.BoolVar(&f.force, "force", false, "continue although a check failed")
	flags.DurationVar(&f.wait, "wait", defaultTakeoverWait, "`time` to wait for the node agents; 0: do not wait")
	cmd.MarkFlagsMutuallyExclusive("undo", "force")
	return cmd
}

func (f *takeoverFlags) run(cmd *cobra.Command, c *kubecli.Cluster, service *corev1.Service) error {
	w, ctx := cmd.OutOrStdout(), cmd.Context()
	name := service.Namespace + "/" + service.Name
	if !f.undo {
		report := check.NewReport(w, check.Full)
		counts := check.Run(ctx, check.Takeover(c, service), report.Add)
		fmt.Fprintln(w)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if n := counts[check.Failed]; n > 0 && !f.force {
			err := fmt.Errorf("%s was not taken over, and nothing was changed: %w", name, checksFailed(n))
			if c.Refuses(service) == "" { // else nothing would come of it
				err = fmt.Errorf("%w (--force continues anyway)", err)
			}
			return err
		}
	}
	if f.dryRun {
		fmt.Fprintf(w, "%s: nothing was changed (--dry-run)\n", name)
		return nil
	}
	changed, err := c.TakeOver(ctx, service, !f.undo)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: %s\n", name, map[[2]bool]string{
		{false, true}: "annotated", {false, false}: "has the annotation already",
		{true, true}: "annotation removed", {true, false}: "has no such annotation",
	}[[2]bool{f.undo, changed}])
	if f.wait <= 0 {
		return nil
	}
	return f.await(cmd, c, name)
}

// await prints the progress of the node agents.
func (f *takeoverFlags) await(cmd *cobra.Command, c *kubecli.Cluster, name string) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), f.wait)
	defer cancel()
	state, err := c.AwaitTakeover(ctx, name, !f.undo, func(s kubecli.TakeoverState) {
		if s.Nodes > 0 {
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", name, terminal.Printable(s.Summary()))
		}
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: not everywhere within %s; the annotation stays: see 'eastway check'", name, f.wait)
	case errors.Is(err, kubecli.ErrForbidden):
		note(cmd, "cannot see whether the nodes have applied it: %v", err)
		return nil
	case err != nil:
		return err
	case state.Nodes == 0 && !f.undo:
		note(cmd, "there are no node agents, so nothing changes: %s", c.HelmSet("node.enabled=true"))
	}
	return nil
}
