package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/peering"
)

func newPeerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peer",
		Short: "Exchange trust with another cluster",
		Long: `Two clusters become peers when each imports the other's Peer manifest: its name, its
SPIFFE ID, its trust bundle and the addresses where its proxies accept tunnels. The
manifest holds no secret, but an attacker who changes it in transit can impersonate
that cluster: use a channel that you trust.

On Kubernetes, --context selects the cluster, and "peer link" does everything at once.
Outside Kubernetes, name the directories: --ca or --svid to export, --config to import.`,
		Example: `  eastway peer link --contexts cluster-a,cluster-b

  # the same in steps, where no user has access to both clusters
  eastway peer export --context cluster-a > peer-a.yaml
  eastway peer import peer-a.yaml --context cluster-b

  # outside Kubernetes
  eastway peer export --cluster cluster-a --ca ca --address a.example.com:15443 > peer-a.yaml
  eastway peer import peer-a.yaml --config config-b`,
	}
	cmd.AddCommand(newPeerExportCommand(), newPeerImportCommand(), newPeerLinkCommand(), newPeerListCommand(), newPeerRemoveCommand())
	return cmd
}

// exportFlags of peer export.
type exportFlags struct {
	kube       kubeFlags
	cluster    string
	dir, svid  string // one of them, or neither
	addresses  []string
	localities []string
	format     string
}

func newPeerExportCommand() *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print this cluster's Peer manifest for others to import",
		Long: `Export prints the Peer manifest of a cluster: YAML, no secrets.

On Kubernetes it is the one that the cluster's controller publishes, with the addresses
of its tunnel Services. Outside Kubernetes, with --cluster and --ca or --svid, it is made
from the directory of the CA or of the certificate; give each public address of the proxies with --address. TCP and UDP use
the same port. Without any, the cluster dials its peers and cannot be dialed.

With --locality the manifest says where the cluster is: those who import it take claims
of endpoints anywhere else as far away.`,
		Example: `  eastway peer export --context cluster-a
  eastway peer export --cluster cluster-a --ca ca --address 203.0.113.7:15443
  eastway peer export --cluster cluster-a --svid tls --address 203.0.113.7:15443   # of cert-manager
  eastway peer export --context cluster-a --locality eu-west      # region, or region/zone
  eastway peer export --cluster cluster-a --ca ca --format jwks   # behind NAT`,
		Args: command.Arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			manifest, err := f.manifest(cmd)
			if err != nil {
				return err
			}
			for _, n := range manifest.Notes() {
				note(cmd, "%s", n)
			}
			return printPeer(cmd.OutOrStdout(), manifest)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.cluster, "cluster", "", "this cluster's `name`, with --ca or --svid")
	flags.StringVar(&f.dir, "ca", "", "`directory` of its CA: outside Kubernetes")
	flags.StringVar(&f.svid, "svid", "", "`directory` with its tls.crt and ca.crt, instead of a CA")
	flags.StringArrayVar(&f.addresses, "address", nil, "`host:port` where a proxy accepts tunnels, instead of those known; may be repeated")
	flags.StringArrayVar(&f.localities, "locality", nil, "`region[/zone]` where the cluster has endpoints; may be repeated")
	flags.StringVar(&f.format, "format", string(certs.PEM), "`format` of the trust bundle: pem or jwks (SPIFFE)")
	f.kube.add(cmd, namespaceFlag)
	f.kube.excludes(cmd, "ca", "svid", "cluster")
	cmd.MarkFlagsMutuallyExclusive("ca", "svid")
	// The only errors are flags that do not exist.
	_ = cmd.MarkFlagDirname("ca")
	_ = cmd.MarkFlagDirname("svid")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(
		[]string{string(certs.PEM), string(certs.JWKS)}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// manifest is made from a CA's directory, or read from a cluster.
func (f *exportFlags) manifest(cmd *cobra.Command) (peering.Manifest, error) {
	switch files := f.dir + f.svid; {
	case files == "" && f.cluster != "":
		return peering.Manifest{}, command.Usagef("--cluster needs the cluster's files: --ca or --svid")
	case files != "" && f.cluster == "":
		return peering.Manifest{}, command.Usagef("--ca and --svid need --cluster: the name of this cluster")
	case files != "":
		return f.fromFiles(cmd)
	}
	var own peering.Manifest
	err := f.kube.with(func(c *kubecli.Cluster) (err error) {
		if own, err = c.Own(cmd.Context()); err != nil {
			return err
		}
		if stale := c.Unpublished(cmd.Context(), own); stale != "" {
			note(cmd, "%s: export it again then", stale)
		}
		return nil
	})
	if err != nil {
		return own, err
	}
	peer := *own.Peer
	if cmd.Flags().Changed("address") {
		peer.Spec.Addresses = f.addresses
	}
	if cmd.Flags().Changed("locality") {
		peer.Spec.Localities = f.localities
	}
	if cmd.Flags().Changed("format") {
		bundle, err := certs.MarshalBundle(own.Identity.Bundle, certs.Format(f.format))
		if err != nil {
			return own, command.Usagef("--format: %w", err)
		}
		peer.Spec.TrustBundle = string(bundle)
	}
	return peering.New(&peer)
}

// fromFiles reads a CA, or what another program has issued.
func (f *exportFlags) fromFiles(cmd *cobra.Command) (m peering.Manifest, err error) {
	own := peering.Own{Cluster: f.cluster, Addresses: f.addresses, Localities: f.localities, Format: certs.Format(f.format)}
	if err := own.Read(f.dir, f.svid); err != nil {
		return m, err
	}
	if own.Doubt != nil {
		note(cmd, "%v", own.Doubt)
	}
	if m, err = own.Manifest(); err != nil {
		return m, command.Usagef("%w", err)
	}
	return m, nil
}

func printPeer(w io.Writer, m peering.Manifest) error {
	data, err := m.YAML()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "# Cluster %s. In the cluster that is to trust it: eastway peer import FILE\n%s", m.Peer.Name, data)
	return nil
}
