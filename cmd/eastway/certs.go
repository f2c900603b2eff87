package main

import (
	"crypto/x509"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/peering"
	"github.com/eastway/eastway/internal/terminal"
)

func newCertsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Create CAs, issue and inspect certificates",
		Long: `Each cluster has its own CA and trust domain; its proxies prove with a short-lived
certificate that they are spiffe://TRUSTDOMAIN/eastway/cluster/NAME. A proxy with a
CA directory creates the CA on its first start and renews its certificate itself. These
commands are for setups that manage certificates in another way.`,
		Example: `  eastway certs init --dir ca --cluster cluster-a
  eastway certs show ca`,
	}
	cmd.AddCommand(newCertsInitCommand(), newCertsIssueCommand(), newCertsShowCommand())
	return cmd
}

// caFlags of certs init.
type caFlags struct {
	dir, cluster, trustDomain, rootDir string
	root                               bool
}

func newCertsInitCommand() *cobra.Command {
	var f caFlags
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Create a cluster's CA, or a root that clusters share",
		Long: `Init creates a CA in a directory: ca.crt and ca.key (mode 0600), ECDSA P-256, valid for
10 years, constrained to its own trust domain. It never replaces an existing CA, but
prints what it found.

With --root-dir the CA is an intermediate below the shared root in that directory, and
root.crt is stored beside it; the root's key is not needed afterwards. --root creates
the shared root itself: root.crt and root.key. Keep that key offline.`,
		Example: `  # a CA of its own; the trust domain is cluster-a.eastway.internal
  eastway certs init --dir ca --cluster cluster-a

  # below a root that several clusters share
  eastway certs init --dir root --root
  eastway certs init --dir ca --cluster cluster-a --root-dir root`,
		Args: command.Arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error { return initCA(cmd.OutOrStdout(), &f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "dir", "", "`directory` of the CA, created with mode 0700 (required)")
	flags.StringVar(&f.cluster, "cluster", "", "cluster's `name`, a DNS label")
	flags.StringVar(&f.trustDomain, "trust-domain", "", "trust `domain` of the CA (default NAME.eastway.internal)")
	flags.StringVar(&f.rootDir, "root-dir", "", "`directory` of the shared root that signs the CA")
	flags.BoolVar(&f.root, "root", false, "create a shared root instead")
	cmd.MarkFlagsOneRequired("cluster", "root")
	for _, other := range []string{"cluster", "trust-domain", "root-dir"} {
		cmd.MarkFlagsMutuallyExclusive("root", other)
	}
	requireFlags(cmd, "dir")
	return cmd
}

func initCA(w io.Writer, f *caFlags) error {
	if f.root {
		root, err := certs.OpenRoot(f.dir, true, certs.Options{})
		if err != nil {
			return err
		}
		return printMade(w, root.Created(), "shared root", f.dir, root.Certificate(), nil)
	}
	td, err := chosenTrustDomain(f.cluster, f.trustDomain)
	if err != nil {
		return err
	}
	id, err := certs.ClusterID(td, f.cluster)
	if err != nil {
		return command.Usagef("%w", err)
	}
	ca, err := makeCA(f, td)
	if err != nil {
		return err
	}
	return printMade(w, ca.Created(), "CA", f.dir, ca.Certificate(), [][2]string{
		{"Trust domain", td.Name()},
		{"SPIFFE ID", id.String()},
	})
}

func makeCA(f *caFlags, td spiffeid.TrustDomain) (*certs.CA, error) {
	options := certs.Options{TrustDomain: td}
	if f.rootDir == "" {
		return certs.OpenCA(f.dir, options)
	}
	root, err := certs.OpenRoot(f.rootDir, false, certs.Options{})
	if err != nil {
		return nil, err
	}
	return root.SignCA(f.dir, options)
}

// chosenTrustDomain is the one asked for, or the default of that cluster.
func chosenTrustDomain(cluster, trustDomain string) (spiffeid.TrustDomain, error) {
	if trustDomain == "" {
		td, err := certs.DefaultTrustDomain(cluster)
		if err != nil {
			return td, command.Usagef("--cluster: %w", err)
		}
		return td, nil
	}
	td, err := spiffeid.TrustDomainFromString(trustDomain)
	if err != nil {
		return td, command.Usagef("--trust-domain %q: %w", trustDomain, err)
	}
	return td, nil
}

func printMade(w io.Writer, made bool, what, dir string, c *x509.Certificate, fields [][2]string) error {
	verb := "exists already, nothing was changed:"
	if made {
		verb = "was created in"
	}
	fmt.Fprintf(w, "The %s %s %s\n", what, verb, dir)
	return terminal.Fields(w, append(fields,
		[2]string{"Valid until", c.NotAfter.UTC().Format(time.RFC3339)},
		[2]string{"SHA-256", peering.Fingerprint(c)},
	))
}

func newCertsIssueCommand() *cobra.Command {
	var (
		dir, cluster, out string
		ttl               time.Duration
	)
	cmd := &cobra.Command{
		Use:   "issue",
		Short: "Issue a certificate for a proxy that must not hold the CA's key",
		Long: `Issue writes tls.crt, tls.key (mode 0600) and ca.crt, the layout of a Kubernetes TLS
Secret. Existing files are replaced: a proxy that reads them picks up the new ones
and keeps its connections. Run it again before the certificate expires.`,
		Example: `  eastway certs issue --dir ca --cluster cluster-a --out proxy-tls
  eastway certs issue --dir ca --cluster cluster-a --out proxy-tls --ttl 72h`,
		Args: command.Arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ca, err := certs.OpenCA(dir, certs.Options{})
			if err != nil {
				return err
			}
			svid, err := ca.Issue(cluster, ttl)
			if err != nil {
				return err
			}
			if err := certs.WriteSVID(out, svid, ca.Bundle()); err != nil {
				return err
			}
			return printMade(cmd.OutOrStdout(), true, "certificate", out, svid.Certificates[0],
				[][2]string{{"SPIFFE ID", svid.ID.String()}})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&dir, "dir", "", "`directory` of the cluster's CA (required)")
	flags.StringVar(&cluster, "cluster", "", "cluster's `name` (required)")
	flags.StringVar(&out, "out", "", "`directory` to write to, created with mode 0700 (required)")
	flags.DurationVar(&ttl, "ttl", certs.DefaultTTL, fmt.Sprintf("`time` for which it is valid, %s to %s", certs.MinTTL, certs.MaxTTL))
	requireFlags(cmd, "dir", "cluster", "out")
	return cmd
}

// requireFlags marks flags that cmd has.
func requireFlags(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		// The only error is a flag that does not exist.
		_ = cmd.MarkFlagRequired(name)
	}
}
