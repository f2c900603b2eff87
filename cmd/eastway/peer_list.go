package main

import (
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/discovery/file"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/terminal"
)

func newPeerListCommand() *cobra.Command {
	var (
		kube   kubeFlags
		config string
		output terminal.Format
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List this cluster's peers, and in Kubernetes how its controller sees them",
		Long: `List shows the Peers of a Kubernetes cluster with their status over all proxies:
TRUSTED (a handshake authenticated both sides), CONNECTED, OUT and IN (a tunnel dialed
by this cluster, or by the peer, is up). With --config it lists those of a directory;
"eastway status" then shows their connections.`,
		Example: `  eastway peer list --context cluster-a
  eastway peer list --config config`,
		Args: command.Arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := cmd.OutOrStdout()
			if config != "" {
				peers, err := filePeers(cmd, config)
				if err != nil {
					return err
				}
				return printFilePeers(w, output, peers)
			}
			return kube.with(func(c *kubecli.Cluster) error {
				peers, err := c.Peers(cmd.Context())
				if err != nil {
					return err
				}
				return printPeers(w, output, peers)
			})
		},
	}
	kube.add(cmd, namespaceFlag)
	cmd.Flags().StringVar(&config, "config", "", "`directory` of the proxy's manifests: outside Kubernetes")
	kube.excludes(cmd, "config")
	command.AddOutputFlag(cmd, &output)
	// The only error is a flag that does not exist.
	_ = cmd.MarkFlagDirname("config")
	return cmd
}

// printFilePeers prints the Peers of a directory. JSON has those that can be used.
func printFilePeers(w io.Writer, output terminal.Format, peers []file.PeerManifest) error {
	used := []v1alpha1.Peer{}
	rows := make([][]string, 0, len(peers))
	for _, p := range peers {
		if !p.Used {
			// A running proxy keeps its last good version.
			rows = append(rows, []string{p.Name, "not usable: repair or remove " + p.File})
			continue
		}
		used = append(used, *p.Peer)
		rows = append(rows, []string{p.Name, strings.Join(p.Spec.Addresses, " ")})
	}
	if output == terminal.AsJSON {
		return terminal.JSON(w, used)
	}
	return terminal.Table(w, []string{"PEER", "ADDRESSES"}, rows)
}

func printPeers(w io.Writer, output terminal.Format, peers []v1alpha1.Peer) error {
	if output == terminal.AsJSON {
		return terminal.JSON(w, append([]v1alpha1.Peer{}, peers...))
	}
	rows := make([][]string, 0, len(peers))
	for i := range peers {
		p := &peers[i]
		rtt := terminal.None
		if p.Status.RoundTripTime != nil {
			rtt = terminal.RTT(p.Status.RoundTripTime.Duration)
		}
		rows = append(rows, []string{
			p.Name, condition(p, v1alpha1.PeerTrusted), condition(p, v1alpha1.PeerConnected),
			condition(p, v1alpha1.PeerReachableFromUs), condition(p, v1alpha1.PeerReachesUs),
			strconv.Itoa(int(p.Status.Lanes)), rtt, strconv.Itoa(int(p.Status.Services)), problem(p),
		})
	}
	return terminal.Table(w, []string{"PEER", "TRUSTED", "CONNECTED", "OUT", "IN", "LANES", "RTT", "SERVICES", "LAST ERROR"}, rows)
}

// condition is yes, no, or "?" while it is not known.
func condition(p *v1alpha1.Peer, name string) string {
	switch {
	case meta.IsStatusConditionTrue(p.Status.Conditions, name):
		return terminal.YesNo(true)
	case meta.IsStatusConditionFalse(p.Status.Conditions, name):
		return terminal.YesNo(false)
	default:
		return "?"
	}
}

// problem is why the manifest is not in use, why the newest attempt to connect failed, or what is left out.
func problem(p *v1alpha1.Peer) string {
	if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.PeerAccepted); c != nil && c.Status == "False" {
		return "not accepted: " + c.Message
	}
	if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.PeerWithinQuota); c != nil && c.Status == "False" && p.Status.LastError == "" {
		return "over quota: " + c.Message
	}
	return p.Status.LastError
}
