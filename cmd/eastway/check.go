package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/kubecli/check"
	"github.com/eastway/eastway/internal/version"
)

func newCheckCommand() *cobra.Command {
	var (
		kube   kubeFlags
		output = check.Full
		call   string
		public bool
	)
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Find problems of an installation in Kubernetes, with a hint for each",
		Long: `Check inspects a Kubernetes cluster and its Eastway installation: versions, CRDs, rights, pods,
certificates, clocks, peers, tunnels, DNS, takeover. It changes nothing, and skips what your
account has no right to read. The exit code is 1 if a check failed; warnings do not count.

--call makes a real call: in a pod as any application does, elsewhere through one of the proxies.
--public dials this cluster's public addresses from this machine.`,
		Example: `  eastway check
  eastway check --context cluster-a --public --call shop/cart:80
  eastway check -o short   # problems only, and how many checks passed`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := check.Options{Public: public, Version: version.Get().Version}
			if call != "" {
				target, err := check.ParseTarget(call)
				if err != nil {
					return usageErrorf("--call: %w", err)
				}
				o.Call = target
			}
			return kube.with(func(c *kubecli.Cluster) error {
				o.InPod = c.Context == "" && kubecli.InPod()
				return runChecks(cmd.Context(), check.All(c, o), check.NewReport(cmd.OutOrStdout(), output))
			})
		},
	}
	kube.add(cmd, namespaceFlag)
	flags := cmd.Flags()
	flags.StringVar(&call, "call", "", "call this service, `NAMESPACE/SERVICE:PORT`")
	flags.BoolVar(&public, "public", false, "also dial the public addresses of this cluster from this machine")
	flags.VarP(&output, "output", "o", "output `format`: full, short (problems, and how many checks passed) or json")
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(check.Formats(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// runChecks fails if one of the checks does.
func runChecks(ctx context.Context, checks []check.Check, r *check.Report) error {
	counts := check.Run(ctx, checks, r.Add)
	if err := r.End(counts); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted: %w", ctx.Err())
	}
	return checksFailed(counts[check.Failed])
}

func checksFailed(n int) error {
	switch n {
	case 0:
		return nil
	case 1:
		return errors.New("1 check failed")
	default:
		return fmt.Errorf("%d checks failed", n)
	}
}
