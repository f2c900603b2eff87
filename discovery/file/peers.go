package file

import (
	"path/filepath"
	"slices"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/manifest"
)

// PeerManifest is a Peer in a file.
type PeerManifest struct {
	// Peer is complete if it is Used; else it has a name and the fields that can be read.
	*v1alpha1.Peer
	// File is its path, with the directory.
	File string
	// Alone is true if the file holds nothing else.
	Alone bool
	// Used is true if a Source takes the Peer from this file.
	Used bool
}

// Peers reads the Peers of a directory as a Source that begins now does, in the order of files. The FileErrors are those
// about Peers, about files as a whole, and about documents that may be Peers. The error is about the directory itself.
func Peers(cfg Config) ([]PeerManifest, []FileError, error) {
	if err := cfg.Validate(); err != nil {
		return nil, nil, err
	}
	s := newStore(&cfg)
	files, err := s.limits.readDir(cfg.Dir)
	if err != nil {
		return nil, nil, err
	}
	local, errs := s.apply(files)
	var peers []PeerManifest
	relevant := map[FileError]bool{} // by file and document
	for _, f := range files {
		relevant[FileError{File: f.name}] = true
		if f.ignored != "" && isManifestExt(filepath.Ext(f.name)) {
			errs = append(errs, FileError{File: f.name, Message: f.ignored, Warning: true})
		}
		if f.err != nil || f.ignored != "" {
			continue
		}
		objects := manifest.Read(f.name, f.data)
		for _, m := range objects {
			kind, ok := s.kindOf(m)
			if ok && (kind == "" || kind == peerKind) {
				relevant[FileError{File: f.name, Document: m.Document}] = true
			}
			if kind != peerKind || m.ID.Name == "" {
				continue
			}
			peers = append(peers, PeerManifest{
				Peer: decodePeer(m), File: filepath.Join(cfg.Dir, f.name), Alone: len(objects) == 1, Used: s.uses(&local, f.name, m),
			})
		}
	}
	about := slices.DeleteFunc(errs, func(e FileError) bool { return !relevant[FileError{File: e.File, Document: e.Document}] })
	return peers, sorted(about), nil
}

// uses is true if the Peer m of a file is the one that a Source uses.
func (s *store) uses(local *discovery.Local, file string, m *manifest.Object) bool {
	held := s.files[file].objects[key{kind: peerKind, name: m.ID.Name}]
	used := local.Peers[m.ID.Name]
	return held != nil && held.doc == m.Document && used != nil && s.owner[held.key] == file
}

func decodePeer(m *manifest.Object) *v1alpha1.Peer {
	peer := &v1alpha1.Peer{}
	_ = m.Decode(peer) // whatever is wrong is among the errors already
	peer.Name = m.ID.Name
	return peer
}
