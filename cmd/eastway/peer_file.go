package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/discovery/file"
	"github.com/eastway/eastway/internal/atomicfile"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/peering"
)

// manifestMode: manifests are public, and the proxy may be another user.
const manifestMode fs.FileMode = 0o644

func peerFile(dir, name string) string { return filepath.Join(dir, "peer-"+name+".yaml") }

// importFile writes the Peer and returns what is different now, one line for each change.
func importFile(cmd *cobra.Command, dir, own string, m peering.Manifest, dryRun bool) ([]string, error) {
	if own != "" && m.Peer.Name == own {
		return nil, fmt.Errorf("%q is this cluster itself: a Peer is another cluster, import what it exports", own)
	}
	path := peerFile(dir, m.Peer.Name)
	old, err := findPeer(cmd, dir, path, m)
	if err != nil {
		return nil, err
	}
	var changes []string
	if old != nil {
		changes, m = m.Changes(old), m.Keep(old)
	}
	var out strings.Builder
	if err := printPeer(&out, m); err != nil {
		return nil, err
	}
	if old == nil || len(changes) > 0 {
		if err = peering.Replaceable(path, m.Peer.Name); err == nil && !dryRun {
			err = atomicfile.Write(path, []byte(out.String()), manifestMode)
		}
		if err != nil {
			return nil, err
		}
	}
	return importedLines(m, old == nil, changes, path, dryRun), nil
}

// findPeer is the same Peer as it was imported before; nil when there is none. It is an error when another
// identity has the name, or when the Peer is in a file that import did not write or that holds more than the Peer.
func findPeer(cmd *cobra.Command, dir, path string, m peering.Manifest) (*v1alpha1.Peer, error) {
	peers, err := filePeers(cmd, dir)
	if err != nil {
		return nil, err
	}
	var found *v1alpha1.Peer
	for _, p := range peers {
		if p.Name != m.Peer.Name {
			continue
		}
		unreadable := !p.Used && p.Spec.SPIFFEID == "" // import repairs it
		if err := m.Taken(p.Peer, p.File); err != nil && !unreadable {
			return nil, err
		}
		if p.File != path || !p.Alone {
			return nil, fmt.Errorf("peer %q is already in %s: change it there, or remove it first", m.Peer.Name, p.File)
		}
		if !unreadable {
			found = p.Peer
		}
	}
	return found, nil
}

// removeFile deletes the file that import wrote for the Peer of that name, and returns its path.
func removeFile(cmd *cobra.Command, dir, name string) (string, error) {
	peers, err := filePeers(cmd, dir)
	if err != nil {
		return "", err
	}
	path, found := peerFile(dir, name), false
	for _, p := range peers {
		switch {
		case p.Name != name:
			continue
		case p.File != path:
			return "", fmt.Errorf("peer %q is in %s, which import did not write: remove it there", name, p.File)
		case !p.Alone:
			return "", fmt.Errorf("peer %q is in %s together with other objects: remove it there", name, p.File)
		}
		found = true
	}
	if !found {
		return "", command.WithExit(command.NotFound, fmt.Errorf("there is no Peer %q in %s", name, dir))
	}
	if err := os.Remove(path); err != nil {
		return "", fmt.Errorf("remove peer %q: %w", name, err)
	}
	return path, nil
}

// filePeers returns the Peers of a directory as the proxy reads them, by name, and notes what is wrong with their files.
func filePeers(cmd *cobra.Command, dir string) ([]file.PeerManifest, error) {
	if err := configDir(dir); err != nil {
		return nil, err
	}
	peers, errs, err := file.Peers(file.Config{Dir: dir, ValidatePeer: validatePeer})
	if err != nil {
		return nil, atomicfile.Explain(err)
	}
	for _, e := range errs {
		note(cmd, "%s", e)
	}
	slices.SortStableFunc(peers, func(a, b file.PeerManifest) int { return strings.Compare(a.Name, b.Name) })
	return peers, nil
}
