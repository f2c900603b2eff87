package demo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	dirMode  fs.FileMode = 0o700
	fileMode fs.FileMode = 0o600
)

// layout is where the world's files are, all below one directory.
type layout struct{ root string }

func (l layout) logs() string           { return filepath.Join(l.root, "logs") }
func (l layout) run() string            { return filepath.Join(l.root, "run") }
func (l layout) executionsDir() string  { return filepath.Join(l.root, "executions") }
func (l layout) ca(c string) string     { return filepath.Join(l.root, c, "ca") }
func (l layout) peer(c string) string   { return filepath.Join(l.root, c, "peer.yaml") }
func (l layout) routes(z zone) string   { return filepath.Join(l.root, z.cluster, z.name, "routes") }
func (l layout) pid(name string) string { return filepath.Join(l.run(), name+".pid") }

// config, state and access log of one of a zone's proxies.
func (l layout) config(z zone, proxy string) string {
	return filepath.Join(l.root, z.cluster, z.name, proxy, "config")
}

func (l layout) state(z zone, proxy string) string {
	return filepath.Join(l.root, z.cluster, z.name, proxy, "state")
}

func (l layout) access(z zone, proxy string) string {
	return filepath.Join(l.logs(), z.process(proxy)+"-access.log")
}

func (l layout) executions(name string) string {
	return filepath.Join(l.executionsDir(), name+".log")
}

// makeLayout makes the directory tree in dir, which must be new or empty, or in
// a temporary directory when dir is "". remove takes away what was made.
func makeLayout(dir string, t topology) (l layout, remove func() error, err error) {
	keep := func() error { return nil }
	if dir == "" {
		if dir, err = os.MkdirTemp("", "eastway-demo-"); err != nil {
			return layout{}, keep, fmt.Errorf("make a directory for the demo: %w", err)
		}
		made := dir
		remove = func() error {
			if err := os.RemoveAll(made); err != nil {
				return fmt.Errorf("remove the demo's directory: %w", err)
			}
			return nil
		}
	} else {
		if dir, err = emptyDir(dir); err != nil {
			return layout{}, keep, err
		}
		remove = keep // named by the user, to look into it
	}
	l = layout{root: dir}
	dirs := []string{l.logs(), l.run(), l.executionsDir()}
	for _, c := range t.clusters {
		for _, z := range c.zones {
			for _, proxy := range proxyRoles() {
				dirs = append(dirs, l.config(z, proxy), l.state(z, proxy))
			}
		}
	}
	for _, d := range dirs {
		if err := os.MkdirAll(d, dirMode); err != nil {
			return layout{}, keep, errors.Join(fmt.Errorf("make a directory for the demo: %w", err), remove())
		}
	}
	return l, remove, nil
}

// emptyDir makes dir unless it is there, and is content only with an empty one:
// keys and logs of an earlier run would mix with this one's.
func emptyDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("--dir %s: %w", dir, err)
	}
	if err := os.MkdirAll(abs, dirMode); err != nil {
		return "", fmt.Errorf("--dir %s: %w", dir, err)
	}
	entries, err := os.ReadDir(abs)
	if err != nil {
		return "", fmt.Errorf("--dir %s: %w", dir, err)
	}
	if len(entries) > 0 {
		return "", fmt.Errorf("--dir %s is not empty (%s …): name a new or an empty directory", dir, entries[0].Name())
	}
	return abs, nil
}
