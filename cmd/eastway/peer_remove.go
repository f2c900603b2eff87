package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/peering"
	"github.com/eastway/eastway/internal/terminal"
)

func newPeerRemoveCommand() *cobra.Command {
	var (
		f      contextsFlag
		config string
	)
	cmd := &cobra.Command{
		Use:   "remove NAME | --contexts A,B",
		Short: "Stop trusting a cluster: its tunnels close, and what only it exported is gone",
		Long: `Remove deletes a Peer at once, without confirmation, and lists the services that are no
longer imported. The other cluster keeps its Peer for this one: with --contexts each of
the clusters removes all the others. Outside Kubernetes, --config names the directory.`,
		Example: `  eastway peer remove cluster-b --context cluster-a
  eastway peer remove --contexts cluster-a,cluster-b
  eastway peer remove cluster-b --config config`,
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("contexts") {
				return command.Arguments()(cmd, args)
			}
			return command.Arguments("NAME")(cmd, args)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return completePeers(cmd, &f.kube, config)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			w := cmd.OutOrStdout()
			switch {
			case config != "":
				removed, err := removeFile(cmd, config, args[0])
				if err == nil {
					fmt.Fprintf(w, "peer %s: removed %s\n", terminal.Printable(args[0]), removed)
				}
				return err
			case len(args) == 0:
				own := func(c *kubecli.Cluster) (peering.Manifest, error) { return c.Own(cmd.Context()) }
				return f.with(own, func(members []kubecli.Member) error { return removeAll(cmd, members) })
			default:
				return f.kube.with(func(c *kubecli.Cluster) error {
					removed, err := c.RemovePeer(cmd.Context(), args[0])
					if err != nil {
						return err
					}
					printRemoved(w, args[0], c.String(), removed)
					note(cmd, "the cluster %s keeps its Peer for this one until it is removed there", args[0])
					return nil
				})
			}
		},
	}
	f.kube.add(cmd, namespaceFlag)
	f.add(cmd, "`contexts` of clusters that remove each other, separated by commas")
	cmd.Flags().StringVar(&config, "config", "", "`directory` of the proxy's manifests: outside Kubernetes")
	f.kube.excludes(cmd, "config")
	cmd.MarkFlagsMutuallyExclusive("config", "contexts")
	cmd.MarkFlagsMutuallyExclusive("context", "contexts")
	// The only error is a flag that does not exist.
	_ = cmd.MarkFlagDirname("config")
	return cmd
}

// removeAll goes on where a Peer is gone already: the command may have been interrupted.
func removeAll(cmd *cobra.Command, members []kubecli.Member) error {
	for _, in := range members {
		for _, of := range members {
			name := of.Own.Peer.Name
			if name == in.Own.Peer.Name {
				continue
			}
			there, err := in.Cluster.Peer(cmd.Context(), name)
			if err != nil {
				return fmt.Errorf("%s: %w", in.Cluster, err)
			}
			if there == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "peer %s: not in %s\n", terminal.Printable(name), terminal.Printable(in.Cluster.String()))
				continue
			}
			removed, err := in.Cluster.RemovePeer(cmd.Context(), name)
			if err != nil {
				return fmt.Errorf("%s: %w", in.Cluster, err)
			}
			printRemoved(cmd.OutOrStdout(), name, in.Cluster.String(), removed)
		}
	}
	return nil
}

func printRemoved(w io.Writer, name, where string, r kubecli.Removed) {
	name = terminal.Printable(name)
	fmt.Fprintf(w, "peer %s: removed from %s; its tunnels close\n", name, terminal.Printable(where))
	if len(r.Lost) > 0 {
		fmt.Fprintf(w, "peer %s: no longer imported, no other cluster exports them: %s\n", name, terminal.Printable(strings.Join(r.Lost, " ")))
	}
	if len(r.Reduced) > 0 {
		fmt.Fprintf(w, "peer %s: still imported from others, or served here: %s\n", name, terminal.Printable(strings.Join(r.Reduced, " ")))
	}
	if r.Unknown != "" {
		fmt.Fprintf(w, "peer %s: the affected services are not known: %s\n", name, terminal.Printable(r.Unknown))
	}
}

func completePeers(cmd *cobra.Command, kube *kubeFlags, config string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if config == "" {
		return kube.complete(cmd, (*kubecli.Cluster).PeerNames)
	}
	var names []cobra.Completion
	peers, _ := filePeers(cmd, config)
	for _, p := range peers {
		names = append(names, p.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
