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
	Namespace = "eastway-system"
)

// tag of the images. Any but latest is not pulled.
const tag = "e2e"

// Config of installations.
type Config struct {
	// Lab whose clusters get one each.
	Lab *lab.Lab
	// Release and Namespace of the installations; "": the constants of that name.
	Release, Namespace string
	// Dir is for what is built, and for what Diagnose writes.
	Dir string
	// Progress is told the commands that a user would type; nil: nobody.
	Progress io.Writer
}

// Installer installs Eastway.
type Installer struct {
	Config
	chart, eastway, helm string

	mu       sync.Mutex
	commands int
}

// Installed is the Installer of what New and Install have made in this folder and these clusters before. It can't install.
func Installed(c Config) *Installer {
	c.Release, c.Namespace = cmp.Or(c.Release, Release), cmp.Or(c.Namespace, Namespace)
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	return &Installer{Config: c, eastway: filepath.Join(c.Dir, "eastway")}
}

// New builds the images and the tools and gives the images to all nodes.
func New(ctx context.Context, c Config) (*Installer, error) {
	i := Installed(c)
	c = i.Config
	if err := os.MkdirAll(c.Dir, 0o755); err != nil { //nolint:gosec // no secret
		return nil, fmt.Errorf("install: make the folder: %w", err)
	}
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("install: find the checkout: %w", err)
	}
	i.chart = filepath.Join(strings.TrimSpace(string(root)), "charts", "eastway")
	build := binaries.Builder{Progress: c.Progress}
	helm, err := build.Programs(ctx, binaries.Helm)
	if err != nil {
		return nil, err
	}
	i.helm = filepath.Join(helm, "helm")
	if err := build.Own(ctx, c.Dir, "cmd/eastway"); err != nil {
		return nil, err
	}
	_, err = image.Write(image.Options{
		Version: tag, Created: time.Unix(0, 1), Binaries: map[string]string{runtime.GOARCH: i.eastway},
	}, c.Dir)
	if err != nil {
		return nil, err
	}
	return i, c.Lab.LoadImage(ctx, image.ArchivePath(c.Dir, runtime.GOARCH))
}

// Commands is how many commands a user would have typed so far: what Run,
// Install and the like have run.
func (i *Installer) Commands() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.commands
}

// Eastway runs the command-line tool with the contexts of all clusters, and
// returns what it printed, also when it failed.
func (i *Installer) Eastway(ctx context.Context, args ...string) (string, error) {
	return i.run(ctx, exec.CommandContext(ctx, i.eastway, args...)) //nolint:gosec // no shell is involved
}

// Helm runs helm for a cluster.
func (i *Installer) Helm(ctx context.Context, c *lab.Cluster, args ...string) (string, error) {
	args = append(args, "--kube-context", c.Name)
	return i.run(ctx, exec.CommandContext(ctx, i.helm, args...)) //nolint:gosec // no shell is involved
}

// run a command as a user would, with nothing of this user's configuration.
func (i *Installer) run(_ context.Context, command *exec.Cmd) (string, error) {
	i.mu.Lock()
	i.commands++
	i.mu.Unlock()
	fmt.Fprintf(i.Progress, "$ %s %s\n", filepath.Base(command.Path), strings.Join(command.Args[1:], " "))
	command.Env = []string{"HOME=" + i.Dir, "PATH=" + os.Getenv("PATH"), "KUBECONFIG=" + i.Lab.Kubeconfig}
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
		"install", i.Release, i.chart, "--namespace", i.Namespace, "--create-namespace", "--wait", "--timeout", helmTime,
		"--set", "cluster=" + c.Name, "--set", "image.tag=" + tag,
	}, sets(values)...)...)
	return err
}

// Upgrade it with other values, beside those of before, and return when all
// pods are new and ready.
func (i *Installer) Upgrade(ctx context.Context, c *lab.Cluster, values ...string) error {
	_, err := i.Helm(ctx, c, append([]string{
		"upgrade", i.Release, i.chart, "--namespace", i.Namespace, "--reuse-values", "--wait", "--timeout", helmTime,
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
