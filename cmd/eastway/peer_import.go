package main

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/atomicfile"
)

const (
	peerKind = "Peer"
	// maxManifest bounds a file that is looked at for Peers, in bytes: the largest bundle,
	// and room for the escapes that YAML may need.
	maxManifest = 2*v1alpha1.MaxTrustBundle + 64<<10
	// manifestMode: manifests are public, and the proxy may be another user.
	manifestMode fs.FileMode = 0o644
)

func newPeerImportCommand() *cobra.Command {
	var config, cluster string
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Check a Peer manifest and add it to a configuration directory",
		Long: `Import checks the Peer manifest that "eastway peer export" printed in the other cluster
and writes it to DIR/peer-NAME.yaml, which a running proxy follows. Importing a newer
manifest of the same identity updates trust bundle and addresses and prints what
changed; a name that another identity has is refused.`,
		Example: `  eastway peer import peer-b.yaml --config config
  ssh b.example.com eastway peer export --cluster b --ca /etc/eastway/ca | eastway peer import - --config config`,
		Args: arguments("FILE|-"),
		RunE: func(cmd *cobra.Command, args []string) error {
			peer, err := readPeer(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			changes, err := importPeer(config, cluster, peer)
			if err != nil {
				return fmt.Errorf("import %s: %w", args[0], err)
			}
			for _, line := range changes {
				fmt.Fprintln(cmd.OutOrStdout(), printable(line))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "`directory` of the proxy's manifests (required)")
	cmd.Flags().StringVar(&cluster, "cluster", "", "this cluster's `name`, so that its own manifest is refused")
	requireFlags(cmd, "config")
	return cmd
}

// readPeer takes exactly one Peer and nothing that it does not know.
func readPeer(stdin io.Reader, path string) (*v1alpha1.Peer, error) {
	data, err := readManifest(stdin, path)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", path, err)
	}
	docs := splitDocuments(data)
	if len(docs) != 1 {
		return nil, fmt.Errorf("import %s: it holds %d documents, expected one Peer", path, len(docs))
	}
	var peer v1alpha1.Peer
	if err := yaml.UnmarshalStrict(docs[0], &peer); err != nil {
		return nil, fmt.Errorf("import %s: not a Peer manifest: %w", path, err)
	}
	if peer.APIVersion != v1alpha1.GroupVersion || peer.Kind != peerKind {
		return nil, fmt.Errorf("import %s: it is a %.60q of %.60q, expected a Peer of %s: take what `eastway peer export` prints",
			path, peer.Kind, peer.APIVersion, v1alpha1.GroupVersion)
	}
	if err := v1alpha1.ValidatePeer(&peer).ToAggregate(); err != nil {
		return nil, fmt.Errorf("import %s: %w", path, err)
	}
	return &peer, nil
}

func readManifest(stdin io.Reader, path string) ([]byte, error) {
	r := stdin
	if path != "-" {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, withExit(exitNotFound, err)
		}
		if err != nil {
			return nil, atomicfile.Explain(err)
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxManifest:
		return nil, fmt.Errorf("larger than %d bytes", maxManifest)
	}
	return data, nil
}

// splitDocuments leaves out documents that are empty or hold comments only.
func splitDocuments(data []byte) [][]byte {
	var docs [][]byte
	var doc bytes.Buffer
	content := false
	flush := func() {
		if content {
			docs = append(docs, bytes.Clone(doc.Bytes()))
		}
		doc.Reset()
		content = false
	}
	for line := range bytes.Lines(data) {
		trimmed := bytes.TrimSpace(line)
		if bytes.Equal(trimmed, []byte("---")) && line[0] == '-' {
			flush()
			continue
		}
		content = content || (len(trimmed) > 0 && trimmed[0] != '#')
		doc.Write(line)
	}
	flush()
	return docs
}

// importPeer writes the Peer and tells what is different now, one line for each change.
func importPeer(dir, own string, peer *v1alpha1.Peer) ([]string, error) {
	parsed, err := certs.ParsePeer(peer.Name, peer.Spec.SPIFFEID, peer.Spec.TrustBundle)
	if err != nil {
		return nil, err
	}
	if own != "" && peer.Name == own {
		return nil, fmt.Errorf("%q is this cluster itself: a Peer is another cluster, import what it exports", own)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("--config %s is not a directory: make it first", dir)
	}
	path := filepath.Join(dir, "peer-"+peer.Name+".yaml")
	old, err := findPeer(dir, path, peer)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := printPeer(&out, peer); err != nil {
		return nil, err
	}
	changes := peerChanges(old, peer, parsed)
	if old != nil && len(changes) == 0 {
		return []string{"peer " + peer.Name + ": unchanged"}, nil
	}
	if err := atomicfile.Write(path, out.Bytes(), manifestMode); err != nil {
		return nil, err
	}
	if old == nil {
		return []string{fmt.Sprintf("peer %s: added as %s, written to %s", peer.Name, parsed.ID, path)}, nil
	}
	return append(changes, fmt.Sprintf("peer %s: written to %s", peer.Name, path)), nil
}

// findPeer is the same Peer as it was imported before; nil when there is none. It is an error when somebody
// else has the name, or when the Peer is in a file that import did not write.
func findPeer(dir, path string, peer *v1alpha1.Peer) (*v1alpha1.Peer, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, atomicfile.Explain(err)
	}
	var found *v1alpha1.Peer
	for _, e := range entries {
		file := filepath.Join(dir, e.Name())
		for _, p := range peersIn(file) {
			switch {
			case p.Name != peer.Name:
			case p.Spec.SPIFFEID != peer.Spec.SPIFFEID:
				return nil, fmt.Errorf("the name %q is taken: in %s it is %s, this manifest says %s. "+
					"If that cluster really got another CA, make sure of it and remove that Peer first",
					peer.Name, file, p.Spec.SPIFFEID, peer.Spec.SPIFFEID)
			case file != path:
				return nil, fmt.Errorf("peer %q is already in %s: change it there, or remove it first", peer.Name, file)
			default:
				found = p
			}
		}
	}
	return found, nil
}

// peersIn reads what it can: broken files are the proxy's to complain about.
func peersIn(path string) []*v1alpha1.Peer {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".yaml", ".yml", ".json":
	default:
		return nil
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	data, err := readManifest(nil, path)
	if err != nil {
		return nil
	}
	var peers []*v1alpha1.Peer
	for _, doc := range splitDocuments(data) {
		var p v1alpha1.Peer
		if yaml.Unmarshal(doc, &p) == nil && p.Kind == peerKind && p.APIVersion == v1alpha1.GroupVersion {
			peers = append(peers, &p)
		}
	}
	return peers
}

func peerChanges(old, peer *v1alpha1.Peer, parsed certs.Peer) []string {
	if old == nil {
		return nil
	}
	var changes []string
	note := func(format string, args ...any) {
		changes = append(changes, fmt.Sprintf("peer %s: ", peer.Name)+fmt.Sprintf(format, args...))
	}
	var before []*x509.Certificate
	if was, err := certs.ParsePeer(old.Name, old.Spec.SPIFFEID, old.Spec.TrustBundle); err == nil {
		before = was.Bundle.X509Authorities()
	}
	after := parsed.Bundle.X509Authorities()
	root := func(c *x509.Certificate) string {
		return fmt.Sprintf("%s, valid until %s, SHA-256 %s", c.Subject, c.NotAfter.UTC().Format(time.RFC3339), fingerprint(c))
	}
	for _, c := range without(after, before) {
		note("trust bundle: new root %s", root(c))
	}
	for _, c := range without(before, after) {
		note("trust bundle: dropped root %s", root(c))
	}
	if !slices.Equal(old.Spec.Addresses, peer.Spec.Addresses) {
		note("addresses: %s, were %s", words(peer.Spec.Addresses), words(old.Spec.Addresses))
	}
	if len(changes) == 0 && old.Spec.TrustBundle != peer.Spec.TrustBundle {
		note("trust bundle: written in another way, same roots")
	}
	return changes
}

func without(list, drop []*x509.Certificate) []*x509.Certificate {
	return slices.DeleteFunc(slices.Clone(list), func(c *x509.Certificate) bool {
		return slices.ContainsFunc(drop, c.Equal)
	})
}

func words(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, " ")
}
