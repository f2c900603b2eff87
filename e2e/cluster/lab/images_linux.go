package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/e2e/cluster/binaries"
	"github.com/eastway/eastway/e2e/cluster/image"
)

// Images that every node has.
const (
	pauseImage   = "docker.io/eastway-lab/pause:lab"
	corednsImage = "docker.io/eastway-lab/coredns:lab"
)

// images that every node has.
func (l *Lab) images() []image.Image {
	all := []image.Image{
		{
			Name:       pauseImage,
			Files:      []image.File{{Path: "/pause", Source: filepath.Join(l.ownPrograms(), "pause")}},
			Entrypoint: []string{"/pause"}, User: "65535:65535",
		},
		{
			Name:       corednsImage,
			Files:      []image.File{{Path: "/coredns", Source: filepath.Join(l.state.CoreDNS, "coredns")}},
			Entrypoint: []string{"/coredns"}, User: "65532:65532",
		},
	}
	if l.state.Config.MetricsServer {
		all = append(all, image.Image{
			Name:       metricsImage,
			Files:      []image.File{{Path: "/metrics-server", Source: filepath.Join(l.state.MetricsServer, metricsServer)}},
			Entrypoint: []string{"/metrics-server"}, User: "65532:65532",
		})
	}
	return all
}

// packImages makes their archives.
func (l *Lab) packImages(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, one := range l.images() {
		if err := one.Save(l.ownImages()[i]); err != nil {
			return err
		}
	}
	return nil
}

// ownImages are the archives of the images that every node has.
func (l *Lab) ownImages() []string {
	var archives []string
	for _, one := range l.images() {
		archives = append(archives, filepath.Join(l.dir, path.Base(one.Entrypoint[0])+".tar"))
	}
	return archives
}

// LoadImage gives an image, in a docker or OCI archive, to all nodes of the cluster.
func (c *Cluster) LoadImage(ctx context.Context, archive string) error {
	if c.lab == nil {
		if os.Getenv(ImagesVariable) == "loaded" {
			return nil
		}
		return fmt.Errorf("%w: %s is a cluster of yours (%s): give %s to all its nodes (kind load image-archive, ctr -n k8s.io images import), "+
			"and set %s=loaded", ErrNotLoaded, c.Name, UserVariable, archive, ImagesVariable)
	}
	var group errgroup.Group
	for _, n := range c.Nodes {
		group.Go(func() error { return n.loadImage(ctx, archive) })
	}
	return group.Wait()
}

// LoadImage gives an image, in a docker or OCI archive, to all nodes of all clusters.
func (l *Lab) LoadImage(ctx context.Context, archive string) error {
	var group errgroup.Group
	for _, c := range l.Clusters {
		group.Go(func() error { return c.LoadImage(ctx, archive) })
	}
	return group.Wait()
}

func (n *Node) loadImage(ctx context.Context, archive string) error {
	if err := run(n.ctr(ctx, "--namespace=k8s.io", "images", "import", archive)); err != nil {
		return fmt.Errorf("lab: load an image into %s: %w", n.Name, err)
	}
	return nil
}

// ctr talks to the node's containerd from outside.
func (n *Node) ctr(ctx context.Context, args ...string) *exec.Cmd {
	root := "/"
	if n.machine != nil {
		root = n.machine.Root()
	}
	args = append([]string{"--address=" + filepath.Join(root, containerdSocket)}, args...)
	return exec.CommandContext(ctx, "ctr", args...)
}

// BuildImage builds a program of this module, such as "e2e/apps/mock", in a folder, and an image that runs it. The archive is
// for LoadImage.
func BuildImage(ctx context.Context, dir, pkg, name string) (program, archive string, err error) {
	if err := (binaries.Builder{}).Own(ctx, dir, pkg); err != nil {
		return "", "", err
	}
	base := path.Base(pkg)
	program = filepath.Join(dir, base)
	archive = program + ".tar"
	err = image.Image{
		Name: name, Files: []image.File{{Path: "/" + base, Source: program}}, Entrypoint: []string{"/" + base}, User: "65532:65532",
	}.Save(archive)
	return program, archive, err
}
