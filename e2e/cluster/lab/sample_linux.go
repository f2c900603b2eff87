package lab

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"github.com/eastway/eastway/e2e/cluster/image"
)

const sampleImage = "docker.io/eastway-lab/busybox:lab"

//go:embed manifests/sample.yaml
var sampleManifest string

// Sample deploys what the README's commands call: Deployment client in the first cluster, shop with its Service in the others.
func (l *Lab) Sample(ctx context.Context) (err error) {
	files, err := image.Busybox(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "eastway-sample-")
	if err != nil {
		return fmt.Errorf("lab: make a folder for the image: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	archive := filepath.Join(dir, "busybox.tar")
	if err := (image.Image{Name: sampleImage, Files: files}).Save(archive); err != nil {
		return err
	}
	if err := l.LoadImage(ctx, archive); err != nil {
		return err
	}
	manifest, err := template.New("sample").Parse(sampleManifest)
	if err != nil {
		return fmt.Errorf("lab: read the manifest of the sample: %w", err)
	}
	for i, c := range l.Clusters {
		var text bytes.Buffer
		err := manifest.Execute(&text, map[string]any{"Name": []string{"client", "shop"}[min(i, 1)], "Image": sampleImage, "Serves": i > 0})
		if err != nil {
			return fmt.Errorf("lab: fill the manifest of the sample: %w", err)
		}
		if err := c.Apply(ctx, text.Bytes()); err != nil {
			return err
		}
	}
	return nil
}
