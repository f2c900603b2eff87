package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// file is one entry of the image's only layer.
type file struct {
	path  string // a directory's ends in a slash
	mode  int64
	owner int // user and group
	data  []byte
}

// files are the whole root file system: there is no shell in it, nor anything else to run. There are no CA certificates
// either: Eastway trusts the bundles of its peers, and the API server's, which Kubernetes mounts. The well-known roots, for external
// services, are in the binary.
func files(binary []byte) []file {
	user := fmt.Sprintf("root:x:0:0:root:/:/sbin/nologin\neastway:x:%d:%d:eastway:%s:/sbin/nologin\n", UserID, GroupID, statePath)
	group := fmt.Sprintf("root:x:0:\neastway:x:%d:\n", GroupID)
	return []file{
		{path: "/etc/", mode: 0o755},
		{path: "/etc/group", mode: 0o644, data: []byte(group)},
		{path: "/etc/passwd", mode: 0o644, data: []byte(user)},
		{path: binaryPath, mode: 0o755, data: binary},
		{path: "/var/", mode: 0o755},
		{path: "/var/lib/", mode: 0o755},
		// Of its own, so that the image also runs where nothing is mounted here.
		{path: statePath + "/", mode: 0o700, owner: UserID},
	}
}

// layer packs the files with one date for all, so that only their content makes a difference.
func layer(path string, date time.Time) (v1.Layer, error) {
	binary, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("image: read the binary: %w", err)
	}
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for _, f := range files(binary) {
		header := &tar.Header{
			Typeflag: tar.TypeReg,
			Name:     f.path[1:],
			Mode:     f.mode,
			Uid:      f.owner,
			Gid:      f.owner,
			Size:     int64(len(f.data)),
			ModTime:  date.UTC().Truncate(time.Second),
			Format:   tar.FormatUSTAR,
		}
		if strings.HasSuffix(f.path, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("image: pack %s: %w", f.path, err)
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, fmt.Errorf("image: pack %s: %w", f.path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("image: pack: %w", err)
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}
