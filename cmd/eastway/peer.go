package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

func newPeerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "peer",
		Short: "Exchange trust with another cluster",
		Long: `Two clusters become peers when each imports the other's Peer manifest: its name, its
SPIFFE ID, its trust bundle and the addresses where its proxies accept tunnels. The
manifest holds no secret, but whoever can change it on the way can pose as that
cluster: carry it over a channel that you trust.`,
		Example: `  eastway peer export --cluster cluster-a --ca ca --address a.example.com:15443 > peer-a.yaml
  eastway peer import peer-a.yaml --config config-b`,
	}
	cmd.AddCommand(newPeerExportCommand(), newPeerImportCommand())
	return cmd
}

func newPeerExportCommand() *cobra.Command {
	var (
		cluster, dir string
		addresses    []string
		format       string
	)
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Print this cluster's Peer manifest for others to import",
		Long: `Export prints the Peer manifest of this cluster: YAML, no secrets. Give each public
address of its proxies with --address; TCP and UDP use the same port. Without any,
the cluster dials its peers and cannot be dialled.`,
		Example: `  eastway peer export --cluster cluster-a --ca ca --address 203.0.113.7:15443
  eastway peer export --cluster cluster-a --ca ca --format jwks   # behind NAT`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ca, err := certs.OpenCA(dir, certs.Options{})
			if err != nil {
				return err
			}
			peer, err := peerOf(ca, cluster, addresses, certs.Format(format))
			if err != nil {
				return err
			}
			return printPeer(cmd.OutOrStdout(), peer)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&cluster, "cluster", "", "this cluster's `name` (required)")
	flags.StringVar(&dir, "ca", "", "`directory` of its CA (required)")
	flags.StringArrayVar(&addresses, "address", nil, "`host:port` where a proxy accepts tunnels; may be given several times")
	flags.StringVar(&format, "format", string(certs.PEM), "`format` of the trust bundle: pem or jwks (SPIFFE)")
	requireFlags(cmd, "cluster", "ca")
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(
		[]string{string(certs.PEM), string(certs.JWKS)}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func peerOf(ca *certs.CA, cluster string, addresses []string, format certs.Format) (*v1alpha1.Peer, error) {
	id, err := certs.ClusterID(ca.TrustDomain(), cluster)
	if err != nil {
		return nil, usageErrorf("--cluster: %w", err)
	}
	bundle, err := certs.MarshalBundle(ca.Bundle(), format)
	if err != nil {
		return nil, usageErrorf("--format: %w", err)
	}
	peer := &v1alpha1.Peer{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion, Kind: peerKind},
		ObjectMeta: metav1.ObjectMeta{Name: cluster},
		Spec:       v1alpha1.PeerSpec{SPIFFEID: id.String(), TrustBundle: string(bundle), Addresses: addresses},
	}
	if err := v1alpha1.ValidatePeer(peer).ToAggregate(); err != nil {
		return nil, usageErrorf("this would be no valid Peer: %w", err)
	}
	return peer, nil
}

func printPeer(w io.Writer, peer *v1alpha1.Peer) error {
	data, err := yaml.Marshal(peer)
	if err != nil {
		return fmt.Errorf("print Peer: %w", err)
	}
	fmt.Fprintf(w, "# Cluster %s. In the cluster that shall trust it: eastway peer import FILE --config DIR\n%s", peer.Name, data)
	return nil
}
