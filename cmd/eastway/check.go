package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/discovery/file"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/kubecli/check"
	"github.com/eastway/eastway/internal/version"
)

func newCheckCommand() *cobra.Command {
	var (
		kube            kubeFlags
		output          = check.Full
		call            string
		public          bool
		config, cluster string
	)
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Find problems of an installation in Kubernetes, or of a directory of manifests",
		Long: `Check inspects a Kubernetes cluster and its Eastway installation: versions, CRDs, rights, pods,
certificates, clocks, peers, tunnels, DNS, takeover. It changes nothing, and skips what your
account has no right to read. The exit code is 1 if a check failed; warnings do not count.

--call makes a real call: in a pod as any application does, elsewhere through one of the proxies.
--public dials this cluster's public addresses from this machine.

--config reads a directory as "eastway proxy --config" would, and starts nothing: each error
with its file and line, and what a proxy would use.`,
		Example: `  eastway check
  eastway check --context cluster-a --public --call shop/cart:80
  eastway check -o short   # problems only, and how many checks passed
  eastway check --config config --cluster a`,
		Args: command.Arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			report := check.NewReport(cmd.OutOrStdout(), output)
			if config != "" || cluster != "" {
				return checkManifests(cmd.Context(), config, cluster, report)
			}
			o := check.Options{Public: public, Version: version.Get().Version}
			if call != "" {
				target, err := check.ParseTarget(call)
				if err != nil {
					return command.Usagef("--call: %w", err)
				}
				o.Call = target
			}
			return kube.with(func(c *kubecli.Cluster) error {
				o.InPod = c.Context == "" && kubecli.InPod()
				return runChecks(cmd.Context(), check.All(c, o), report)
			})
		},
	}
	kube.add(cmd, namespaceFlag)
	flags := cmd.Flags()
	flags.StringVar(&call, "call", "", "call this service, `NAMESPACE/SERVICE:PORT`")
	flags.BoolVar(&public, "public", false, "also dial the public addresses of this cluster from this machine")
	flags.StringVar(&config, "config", "", "check this `directory` of manifests instead")
	flags.StringVar(&cluster, "cluster", "", "with --config: `name` of the cluster that they are for, which no Peer may have")
	kube.excludes(cmd, "config")
	cmd.MarkFlagsMutuallyExclusive("config", "call")
	cmd.MarkFlagsMutuallyExclusive("config", "public")
	flags.VarP(&output, "output", "o", "output `format`: full, short (problems, and how many checks passed) or json")
	// The only error is a flag that does not exist.
	_ = cmd.MarkFlagDirname("config")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(check.Formats(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func checkManifests(ctx context.Context, dir, cluster string, report *check.Report) error {
	if dir == "" {
		return command.Usagef("--cluster is for --config: in Kubernetes, the name is read from the cluster")
	}
	if err := configDir(dir); err != nil {
		return err
	}
	checks, err := check.Manifests(file.Config{Dir: dir, Cluster: cluster, ValidatePeer: validatePeer, DoubtPeer: doubtPeer})
	if err != nil {
		return err
	}
	return runChecks(ctx, checks, report)
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
