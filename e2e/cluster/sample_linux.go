package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/e2e/cluster/image"
	"github.com/eastway/eastway/e2e/cluster/lab"
)

const sampleImage = "docker.io/eastway-lab/busybox:lab"

//go:embed sample.yaml
var sampleManifest string

func sampleCommand(name *string) *cobra.Command {
	return &cobra.Command{
		Use: "sample", Short: "Deploy what the README's commands call: client in the first cluster, shop in the others", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := lab.Open(*name)
			if err != nil {
				return err
			}
			return sample(cmd.Context(), l, cmd.OutOrStdout())
		},
	}
}

func sample(ctx context.Context, l *lab.Lab, out io.Writer) (err error) {
	files, err := image.Busybox(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "eastway-sample-")
	if err != nil {
		return err
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
		return err
	}
	for i, c := range l.Clusters {
		what := "shop"
		if i == 0 {
			what = "client"
		}
		var text bytes.Buffer
		if err := manifest.Execute(&text, map[string]any{"Name": what, "Image": sampleImage, "Serves": i > 0}); err != nil {
			return err
		}
		if err := c.Apply(ctx, text.Bytes()); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: deployed %s\n", c.Name, what)
	}
	return nil
}
