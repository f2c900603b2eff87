package install

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/eastway/eastway/e2e/cluster/binaries"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/internal/image"
)

// Names of an installation whose Config says nothing else.
const (
	Release   = "eastway"
	chart     = "charts/eastway"
	Namespace = "eastway-system"
)

// Tag of the images. Any but latest is not pulled.
const Tag = "e2e"

// Config of installations.
type Config struct {
	// Lab whose clusters get one each.
	Lab *lab.Lab
	// Release and Namespace of the installations; "": the constants of that name.
	Release, Namespace string
	// Dir is for what is built, and for what Diagnose writes.
	Dir string
	// Progress gets the commands that a user would type; nil: none.
	Progress io.Writer
}

// Installer installs Eastway.
type Installer struct {
	Config
	root, tools string // the checkout, and a folder with eastway, helm and kubectl
}

// Installed is the Installer of what New and Install have made in this folder and these clusters before. It cannot install.
func Installed(c Config) *Installer {
	c.Release, c.Namespace = cmp.Or(c.Release, Release), cmp.Or(c.Namespace, Namespace)
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	return &Installer{Config: c, tools: filepath.Join(c.Dir, "tools")}
}

// New builds the images and the tools and gives the images to all nodes.
func New(ctx context.Context, c Config) (*Installer, error) {
	i := Installed(c)
	c = i.Config
	if err := os.MkdirAll(i.tools, 0o755); err != nil {
		return nil, fmt.Errorf("install: make the folder: %w", err)
	}
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("install: find the checkout: %w", err)
	}
	i.root = strings.TrimSpace(string(root))
	build := binaries.Builder{Progress: c.Progress}
	helm, err := build.Programs(ctx, binaries.Helm)
	if err != nil {
		return nil, err
	}
	if err := build.Own(ctx, i.tools, "cmd/eastway"); err != nil {
		return nil, err
	}
	for name, program := range map[string]string{"helm": filepath.Join(helm, "helm"), "kubectl": c.Lab.Clusters[0].Kubectl(ctx).Path} {
		link := filepath.Join(i.tools, name)
		if err := errors.Join(os.RemoveAll(link), os.Symlink(program, link)); err != nil {
			return nil, fmt.Errorf("install: gather tools: %w", err)
		}
	}
	_, err = image.Write(image.Options{
		Version: Tag, Created: time.Unix(0, 1), Binaries: map[string]string{runtime.GOARCH: filepath.Join(i.tools, "eastway")},
	}, c.Dir)
	if err != nil {
		return nil, err
	}
	return i, c.Lab.LoadImage(ctx, image.ArchivePath(c.Dir, runtime.GOARCH))
}

// Shell runs a line as a user types it in the checkout, with eastway, helm and
// kubectl and the contexts of all clusters, and returns what it printed.
func (i *Installer) Shell(ctx context.Context, line string) (string, error) {
	fmt.Fprintf(i.Progress, "$ %s\n", line)
	return i.run(exec.CommandContext(ctx, "sh", "-c", line))
}

// Eastway runs the command-line tool with the contexts of all clusters, and
// returns what it printed, also when it failed.
func (i *Installer) Eastway(ctx context.Context, args ...string) (string, error) {
	fmt.Fprintf(i.Progress, "$ eastway %s\n", strings.Join(args, " "))
	return i.run(exec.CommandContext(ctx, filepath.Join(i.tools, "eastway"), args...))
}

// Helm runs helm for a cluster.
func (i *Installer) Helm(ctx context.Context, c *lab.Cluster, args ...string) (string, error) {
	args = append(args, "--kube-context", c.Name)
	fmt.Fprintf(i.Progress, "$ helm %s\n", strings.Join(args, " "))
	return i.run(exec.CommandContext(ctx, filepath.Join(i.tools, "helm"), args...))
}

// run a command as a user would, with nothing of this user's configuration.
func (i *Installer) run(command *exec.Cmd) (string, error) {
	command.Dir = i.root
	command.Env = []string{"HOME=" + i.Dir, "PATH=" + i.tools + ":" + os.Getenv("PATH"), "KUBECONFIG=" + i.Lab.Kubeconfig}
	var out, problems bytes.Buffer
	command.Stdout, command.Stderr = &out, &problems
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("install: %s: %w\n%s%s", command, err, &out, &problems)
	}
	return out.String(), nil
}

// helmTime is how long helm waits for pods: they start within seconds, but on a
// busy computer.
const helmTime = "4m"

// Install the chart with values like "proxy.replicas=3" beside what every
// installation needs, and return when its pods are ready.
func (i *Installer) Install(ctx context.Context, c *lab.Cluster, values ...string) error {
	_, err := i.Helm(ctx, c, append([]string{
		"install", i.Release, chart, "--namespace", i.Namespace, "--create-namespace", "--wait", "--timeout", helmTime,
		"--set", "cluster=" + c.Name, "--set", "image.tag=" + Tag,
	}, sets(values)...)...)
	return err
}

// Upgrade it with other values, beside those of before, and return when all
// pods are new and ready.
func (i *Installer) Upgrade(ctx context.Context, c *lab.Cluster, values ...string) error {
	_, err := i.Helm(ctx, c, append([]string{
		"upgrade", i.Release, chart, "--namespace", i.Namespace, "--reuse-values", "--wait", "--timeout", helmTime,
	}, sets(values)...)...)
	return err
}

// Uninstall it, and return when its pods are gone.
func (i *Installer) Uninstall(ctx context.Context, c *lab.Cluster) error {
	_, err := i.Helm(ctx, c, "uninstall", i.Release, "--namespace", i.Namespace, "--wait", "--timeout", helmTime)
	return err
}

// All does something with all clusters at once.
func (i *Installer) All(do func(c *lab.Cluster) error) error {
	errs := make([]error, len(i.Lab.Clusters))
	var doing sync.WaitGroup
	for n, c := range i.Lab.Clusters {
		doing.Go(func() { errs[n] = do(c) })
	}
	doing.Wait()
	return errors.Join(errs...)
}

func sets(values []string) []string {
	var args []string
	for _, v := range values {
		args = append(args, "--set", v)
	}
	return args
}
