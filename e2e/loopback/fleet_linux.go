package loopback

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/status"
)

// Cluster is some proxies with one identity.
type Cluster struct {
	Name    string
	Proxies []*Proxy
	// Addresses are HOST:PORT at which peers dial it; none: it only dials.
	Addresses []string
}

// Proxy of a cluster.
type Proxy struct {
	// Name is that of its directory and of its log, unique in a fleet.
	Name         string
	Region, Zone string
	// Listen is IP:PORT for tunnels; "": it only dials. Admin is that of its admin listener.
	Listen, Admin string
	// AccessLog is a file; "": none.
	AccessLog string
	// Flags are further ones.
	Flags []string
}

// Fleet is clusters, and whatever else its spawner has started.
type Fleet struct {
	Spawner
	// Dir has everything: programs, keys, manifests, logs.
	Dir string

	mu        sync.Mutex
	processes map[string]*Process
}

// program is the name of Eastway's.
const program = "eastway"

// NewFleet builds the program. Close ends what it starts.
func NewFleet(ctx context.Context, dir string) (*Fleet, error) {
	f := &Fleet{Spawner: NewSpawner(), Dir: dir, processes: make(map[string]*Process)}
	err := os.MkdirAll(filepath.Dir(f.Log("")), 0o700)
	if err == nil {
		err = f.Build(ctx, "cmd/eastway")
	}
	if err != nil {
		close(f.Spawner)
		return nil, err
	}
	return f, nil
}

// Another fleet has the same programs. It is to be closed first.
func (f *Fleet) Another(dir string) (*Fleet, error) {
	a := &Fleet{Spawner: NewSpawner(), Dir: dir, processes: make(map[string]*Process)}
	err := errors.Join(os.MkdirAll(filepath.Dir(a.Log("")), 0o700), os.Symlink(f.Program(""), a.Program("")))
	if err != nil {
		close(a.Spawner)
		return nil, err
	}
	return a, nil
}

// Build a program of this repository; Program is where it is.
func (f *Fleet) Build(ctx context.Context, pkg string) error {
	_, err := f.Command(ctx, "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags=-s -w", "-o", f.Program(filepath.Base(pkg)),
		"github.com/eastway/eastway/"+pkg)
	return err
}

// Program that was built.
func (f *Fleet) Program(name string) string { return filepath.Join(f.Dir, "bin", name) }

// Log of a process.
func (f *Fleet) Log(name string) string { return filepath.Join(f.Dir, "logs", name+".log") }

// Config is the directory of a proxy's manifests.
func (f *Fleet) Config(p *Proxy) string { return filepath.Join(f.Dir, p.Name, "config") }

func (f *Fleet) ca(c *Cluster) string   { return filepath.Join(f.Dir, c.Name, "ca") }
func (f *Fleet) peer(c *Cluster) string { return filepath.Join(f.Dir, c.Name, "peer.yaml") }

// Close kills everything that runs.
func (f *Fleet) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.processes {
		_ = p.End(syscall.SIGKILL)
	}
	close(f.Spawner)
}

// Found makes the cluster's CA and the manifest with which others make it their peer.
func (f *Fleet) Found(ctx context.Context, c *Cluster) error {
	for _, p := range c.Proxies {
		if err := os.MkdirAll(f.Config(p), 0o700); err != nil {
			return err
		}
	}
	if _, err := f.Command(ctx, f.Program(program), "certs", "init", "--dir", f.ca(c), "--cluster", c.Name); err != nil {
		return err
	}
	args := []string{"peer", "export", "--cluster", c.Name, "--ca", f.ca(c)}
	for _, address := range c.Addresses {
		args = append(args, "--address", address)
	}
	manifest, err := f.Command(ctx, f.Program(program), args...)
	if err != nil {
		return err
	}
	return os.WriteFile(f.peer(c), []byte(manifest), 0o600)
}

// Trust makes other a peer of c; both are founded.
func (f *Fleet) Trust(ctx context.Context, c, other *Cluster) error {
	for _, p := range c.Proxies {
		_, err := f.Command(ctx, f.Program(program), "peer", "import", f.peer(other), "--config", f.Config(p), "--cluster", c.Name)
		if err != nil {
			return err
		}
	}
	return nil
}

// Write a file of a proxy's manifests whole, as an editor does.
func (f *Fleet) Write(p *Proxy, name string, data []byte) error {
	path := filepath.Join(f.Config(p), name)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Run starts a process under a name; one of that name has ended.
func (f *Fleet) Run(name string, cmd *exec.Cmd) error {
	p, err := f.Begin(name, f.Log(name), cmd)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.processes[name] = p
	return nil
}

// Process of a name; nil: none was started.
func (f *Fleet) Process(name string) *Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.processes[name]
}

// ProxyCommand is that of a proxy of the cluster.
func (f *Fleet) ProxyCommand(ctx context.Context, c *Cluster, p *Proxy) *exec.Cmd {
	args := []string{
		"proxy", "--cluster", c.Name, "--region", p.Region, "--zone", p.Zone, "--config", f.Config(p), "--ca", f.ca(c),
		"--state", filepath.Join(f.Dir, p.Name, "state"), "--listen", p.Listen, "--admin", p.Admin, "--access-log", p.AccessLog,
	}
	return exec.CommandContext(context.WithoutCancel(ctx), f.Program(program), append(args, p.Flags...)...)
}

// Start a proxy of the cluster.
func (f *Fleet) Start(ctx context.Context, c *Cluster, p *Proxy) error {
	return f.Run(p.Name, f.ProxyCommand(ctx, c, p))
}

// AwaitReady returns when the proxy is ready.
func (f *Fleet) AwaitReady(ctx context.Context, p *Proxy) error {
	return Await(ctx, p.Name+" is ready", func(ctx context.Context) error {
		if err := f.Process(p.Name).Alive(); err != nil {
			return err
		}
		return answers(ctx, "http://"+p.Admin+admin.PathReadyz)
	})
}

// answers 200.
func answers(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", url, answer.Status)
	}
	return errors.Join(err, answer.Body.Close())
}

// AwaitLinked returns when each proxy of c has a link to each proxy of other, and can use these services there.
func AwaitLinked(ctx context.Context, c, other *Cluster, services ...Service) error {
	var linked errgroup.Group
	for _, p := range c.Proxies {
		linked.Go(func() error {
			client, err := admin.NewClient(p.Admin)
			if err != nil {
				return err
			}
			defer client.Close()
			return Await(ctx, fmt.Sprintf("%s sees all of %s", p.Name, other.Name), func(ctx context.Context) error {
				return sees(ctx, client, other, services)
			})
		})
	}
	return linked.Wait()
}

// Service is the name of one.
type Service struct{ Namespace, Name string }

func sees(ctx context.Context, client *admin.Client, peer *Cluster, services []Service) error {
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	links := 0
	for i := range s.Peers {
		if p := &s.Peers[i]; p.Peer == peer.Name {
			for j := range p.Links {
				if p.Links[j].State == status.Connected {
					links++
				}
			}
		}
	}
	if links < len(peer.Proxies) {
		return fmt.Errorf("%d links of %d", links, len(peer.Proxies))
	}
	for _, one := range services {
		answer, err := client.Endpoints(ctx, one.Namespace, one.Name)
		if err != nil {
			return err
		}
		found := false
		for i := range answer.Endpoints {
			e := &answer.Endpoints[i]
			if e.Cluster != peer.Name {
				continue
			}
			if found = true; e.Status != status.Healthy {
				return fmt.Errorf("%s at %s is %s", one.Name, e.Address, e.Status)
			}
		}
		if !found {
			return fmt.Errorf("%s has no endpoint for %s", peer.Name, one.Name)
		}
	}
	return nil
}
