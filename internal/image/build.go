package image

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Build makes one image per architecture. Equal options and binaries give equal digests.
func Build(o Options) (map[string]v1.Image, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	images := make(map[string]v1.Image)
	for arch, path := range o.Binaries {
		l, err := layer(path, o.Created)
		if err != nil {
			return nil, err
		}
		img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
		if img, err = mutate.ConfigFile(img, o.config(arch)); err != nil {
			return nil, fmt.Errorf("image: configure %s: %w", arch, err)
		}
		addition := mutate.Addendum{Layer: l, MediaType: types.OCILayer, History: v1.History{
			Created: v1.Time{Time: o.created()}, CreatedBy: "make image",
		}}
		if img, err = mutate.Append(img, addition); err != nil {
			return nil, fmt.Errorf("image: add the layer for %s: %w", arch, err)
		}
		images[arch] = img
	}
	return images, nil
}

// index lists the images by architecture, as registries keep them under one tag.
func index(images map[string]v1.Image) v1.ImageIndex {
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range slices.Sorted(maps.Keys(images)) {
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{
			Add:        images[arch],
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: System, Architecture: arch}},
		})
	}
	return idx
}

func (o Options) created() time.Time { return o.Created.UTC().Truncate(time.Second) }

func (o Options) config(arch string) *v1.ConfigFile {
	return &v1.ConfigFile{
		Architecture: arch,
		OS:           System,
		Created:      v1.Time{Time: o.created()},
		RootFS:       v1.RootFS{Type: "layers"},
		Config: v1.Config{
			Entrypoint: []string{binaryPath},
			Env:        []string{"PATH=/"}, // `kubectl exec POD -- eastway status`
			// Numbers: the kubelet cannot see by a name that it is not root's.
			User:       strconv.Itoa(UserID) + ":" + strconv.Itoa(GroupID),
			WorkingDir: "/",
			Labels:     o.labels(),
		},
	}
}

// labels are those of https://github.com/opencontainers/image-spec/blob/main/annotations.md.
func (o Options) labels() map[string]string {
	const prefix = "org.opencontainers.image."
	labels := map[string]string{
		prefix + "title":       "eastway",
		prefix + "description": "East-west tunnel proxy for Kubernetes clusters",
		prefix + "source":      "https://github.com/eastway/eastway",
		prefix + "licenses":    "Apache-2.0",
		prefix + "version":     o.Version,
		prefix + "created":     o.created().Format(time.RFC3339),
	}
	if o.Revision != "" {
		labels[prefix+"revision"] = o.Revision
	}
	return labels
}
