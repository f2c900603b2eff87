package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/atomicfile"
	"github.com/eastway/eastway/internal/peering"
)

// manifestMode: manifests are public, and the proxy may be another user.
const manifestMode fs.FileMode = 0o644

// filePeer is a Peer and the file in which it is.
type filePeer struct {
	*v1alpha1.Peer
	file string
}

func peerFile(dir, name string) string { return filepath.Join(dir, "peer-"+name+".yaml") }

// importFile writes the Peer and tells what is different now, one line for each change.
func importFile(dir, own string, m peering.Manifest, dryRun bool) ([]string, error) {
	if own != "" && m.Peer.Name == own {
		return nil, fmt.Errorf("%q is this cluster itself: a Peer is another cluster, import what it exports", own)
	}
	path := peerFile(dir, m.Peer.Name)
	old, err := findPeer(dir, path, m)
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	if err := printPeer(&out, m); err != nil {
		return nil, err
	}
	var changes []string
	if old != nil {
		changes = m.Changes(old)
	}
	if !dryRun && (old == nil || len(changes) > 0) {
		if err := atomicfile.Write(path, []byte(out.String()), manifestMode); err != nil {
			return nil, err
		}
	}
	return importedLines(m, old == nil, changes, path, dryRun), nil
}

// findPeer is the same Peer as it was imported before; nil when there is none. It is an error when somebody
// else has the name, or when the Peer is in a file that import did not write.
func findPeer(dir, path string, m peering.Manifest) (*v1alpha1.Peer, error) {
	peers, err := filePeers(dir)
	if err != nil {
		return nil, err
	}
	var found *v1alpha1.Peer
	for _, p := range peers {
		if p.Name != m.Peer.Name {
			continue
		}
		if err := m.Taken(p.Peer, p.file); err != nil {
			return nil, err
		}
		if p.file != path {
			return nil, fmt.Errorf("peer %q is already in %s: change it there, or remove it first", m.Peer.Name, p.file)
		}
		found = p.Peer
	}
	return found, nil
}

// removeFile deletes the file that import wrote for the Peer of that name.
func removeFile(dir, name string) (filePeer, error) {
	peers, err := filePeers(dir)
	if err != nil {
		return filePeer{}, err
	}
	i := slices.IndexFunc(peers, func(p filePeer) bool { return p.Name == name })
	if i < 0 {
		return filePeer{}, withExit(exitNotFound, fmt.Errorf("there is no Peer %q in %s", name, dir))
	}
	p := peers[i]
	if p.file != peerFile(dir, name) {
		return p, fmt.Errorf("peer %q is in %s, which import did not write: remove it there", name, p.file)
	}
	if err := os.Remove(p.file); err != nil {
		return p, fmt.Errorf("remove peer %q: %w", name, err)
	}
	return p, nil
}

// filePeers of a directory, by name. Broken files are the proxy's to complain about.
func filePeers(dir string) ([]filePeer, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("--config %s is not a directory: make it first", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, atomicfile.Explain(err)
	}
	var peers []filePeer
	for _, e := range entries {
		peers = append(peers, peersIn(filepath.Join(dir, e.Name()))...)
	}
	slices.SortStableFunc(peers, func(a, b filePeer) int { return strings.Compare(a.Name, b.Name) })
	return peers, nil
}

// peersIn reads what it can.
func peersIn(path string) []filePeer {
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
	var peers []filePeer
	for _, doc := range peering.Split(data) {
		var p v1alpha1.Peer
		if yaml.Unmarshal(doc, &p) == nil && p.Kind == peering.Kind && p.APIVersion == v1alpha1.GroupVersion {
			peers = append(peers, filePeer{&p, path})
		}
	}
	return peers
}
