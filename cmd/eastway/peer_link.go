package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/peering"
	"github.com/eastway/eastway/internal/terminal"
)

// defaultLinkTimeout is for proxies that still start: pulling images takes longest.
const defaultLinkTimeout = 2 * time.Minute

// contextsFlag are the contexts of a command about several clusters.
type contextsFlag struct {
	kube     kubeFlags
	contexts []string
}

func (f *contextsFlag) add(cmd *cobra.Command, usage string) {
	cmd.Flags().StringSliceVar(&f.contexts, "contexts", nil, usage)
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("contexts", f.kube.completeContexts)
}

// with calls do with all the clusters, whose own manifests it gets by own.
func (f *contextsFlag) with(own func(*kubecli.Cluster) (peering.Manifest, error), do func([]kubecli.Member) error) error {
	if len(f.contexts) < 2 {
		return command.Usagef("--contexts %q: name at least two, separated by commas", f.contexts)
	}
	var clusters []*kubecli.Cluster
	defer func() {
		for _, c := range clusters {
			c.Close()
		}
	}()
	for _, name := range f.contexts {
		o := f.kube.options
		o.Context = name
		c, err := kubecli.Open(o)
		if err != nil {
			return kubeError(err)
		}
		clusters = append(clusters, c)
	}
	members, err := kubecli.Members(clusters, own)
	if err != nil {
		return kubeError(err)
	}
	return kubeError(do(members))
}

func newPeerLinkCommand() *cobra.Command {
	var (
		f       contextsFlag
		dryRun  bool
		force   bool
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:   "link --contexts A,B[,C…]",
		Short: "Make Kubernetes clusters peers of each other, and wait until they are connected",
		Long: `Link exports the Peer manifest of each cluster and imports it in all others, then waits
until each reports that it is connected to each. It also waits for a new controller to
write its manifest, for a load balancer to get an address, and for the new manifest after
a CA was replaced.

Running it again changes only what differs. --dry-run prints the manifests instead.`,
		Example: `  eastway peer link --contexts cluster-a,cluster-b
  eastway peer link --contexts cluster-a,cluster-b,cluster-c --dry-run`,
		Args: command.Arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			deadline := time.Now().Add(timeout)
			own := func(c *kubecli.Cluster) (peering.Manifest, error) {
				return c.AwaitOwn(cmd.Context(), deadline, func(what string) { note(cmd, "%s", what) })
			}
			return f.with(own, func(members []kubecli.Member) error {
				if dryRun {
					return printLinks(cmd.OutOrStdout(), members)
				}
				if err := importAll(cmd, members, force); err != nil || timeout <= 0 {
					return err
				}
				return awaitAll(cmd, members, deadline)
			})
		},
	}
	f.add(cmd, "`contexts` of the clusters, separated by commas (required)")
	f.kube.addInstallation(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&dryRun, "dry-run", false, "print the manifests for each cluster, and change nothing")
	flags.BoolVar(&force, "force", false, "take over fields of another field manager")
	flags.DurationVar(&timeout, "timeout", defaultLinkTimeout,
		"`time` to wait in total, for starting controllers and then for the connections; 0: do not wait")
	requireFlags(cmd, "contexts")
	return cmd
}

// printLinks writes what to apply in which context.
func printLinks(w io.Writer, members []kubecli.Member) error {
	for _, to := range members {
		for _, from := range members {
			if from.Own.Peer.Name == to.Own.Peer.Name {
				continue
			}
			data, err := from.Own.YAML()
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "---\n# in cluster %s: kubectl --context %s apply -f -\n%s", to.Own.Peer.Name, to.Cluster.Context, data)
		}
	}
	return nil
}

// importAll makes each cluster a peer of all others.
func importAll(cmd *cobra.Command, members []kubecli.Member, force bool) error {
	if err := kubecli.Unreachable(members); err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	for _, to := range members {
		for _, from := range members {
			if from.Own.Peer.Name == to.Own.Peer.Name {
				continue
			}
			lines, err := importKube(cmd, to.Cluster, from.Own, kubecli.ImportOptions{Force: force})
			if err != nil {
				return fmt.Errorf("%s: %w", to.Cluster, err)
			}
			for _, line := range lines {
				fmt.Fprintf(w, "%s: %s\n", terminal.Printable(to.Own.Peer.Name), terminal.Printable(line))
			}
		}
	}
	for _, to := range members { // all are Peers of each other now
		for _, from := range members {
			if from.Own.Peer.Name == to.Own.Peer.Name {
				continue
			}
			if err := kubecli.RecordRoots(cmd.Context(), from.Cluster, to.Own.Peer.Name, from.Own.Identity.Bundle); err != nil {
				return fmt.Errorf("%s: %w", from.Cluster, err)
			}
		}
	}
	return nil
}

// awaitAll prints the progress of the connections.
func awaitAll(cmd *cobra.Command, members []kubecli.Member, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(cmd.Context(), deadline)
	defer cancel()
	w := cmd.OutOrStdout()
	err := kubecli.AwaitConnected(ctx, members, func(p kubecli.Progress) {
		fmt.Fprintf(w, "%s to %s: %s\n", terminal.Printable(p.Cluster), terminal.Printable(p.Peer), terminal.Printable(p.State.Summary))
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "All %d clusters are connected to each other.\n", len(members))
	return nil
}
