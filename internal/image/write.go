package image

import (
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// refName is the annotation by which tools find a tag in an OCI layout.
const refName = "org.opencontainers.image.ref.name"

// ArchivePath is where Write puts the docker archive of one architecture.
func ArchivePath(dir, arch string) string { return filepath.Join(dir, "eastway-"+arch+".tar") }

// LayoutPath is where Write puts the OCI layout.
func LayoutPath(dir string) string { return filepath.Join(dir, "oci") }

// Write builds the images and puts them into the directory: a docker archive for each architecture, for `ctr images import` and
// `docker load`, and an OCI layout with all of them under one index, for copying to a registry. It returns the index's digest:
// what `image.digest` of the chart is.
func Write(o Options, dir string) (v1.Hash, error) {
	images, err := Build(o)
	if err != nil {
		return v1.Hash{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // nothing in there is secret
		return v1.Hash{}, fmt.Errorf("image: make the output directory: %w", err)
	}
	tag, err := o.tag()
	if err != nil {
		return v1.Hash{}, err
	}
	for arch, img := range images {
		if err := tarball.WriteToFile(ArchivePath(dir, arch), tag, img); err != nil {
			return v1.Hash{}, fmt.Errorf("image: write the archive for %s: %w", arch, err)
		}
	}
	return writeLayout(o, images, LayoutPath(dir))
}

// writeLayout replaces what was there: else blobs of earlier builds would stay.
func writeLayout(o Options, images map[string]v1.Image, path string) (v1.Hash, error) {
	if err := os.RemoveAll(path); err != nil {
		return v1.Hash{}, fmt.Errorf("image: remove the last layout: %w", err)
	}
	idx := index(images)
	tagged := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{
		Add:        idx,
		Descriptor: v1.Descriptor{Annotations: map[string]string{refName: o.Version}},
	})
	if _, err := layout.Write(path, tagged); err != nil {
		return v1.Hash{}, fmt.Errorf("image: write the OCI layout: %w", err)
	}
	return idx.Digest()
}
