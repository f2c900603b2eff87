package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/e2e/cluster/binaries"
	"github.com/eastway/eastway/e2e/cluster/machine"
)

// Lab is clusters that are up.
type Lab struct {
	// Clusters by number: Clusters[0] is cluster-1.
	Clusters []*Cluster
	// Kubeconfig is the path of one with a context for each cluster, named like it.
	Kubeconfig string

	state    state
	dir      string
	internet *machine.Machine
	held     *os.File // the folder, for as long as the process that started it has not taken it down
}

// Cluster is one Kubernetes cluster.
type Cluster struct {
	// Name, also of the kubeconfig's context: "cluster-1".
	Name string
	// Region and Zones as the nodes' labels have them.
	Region string
	Zones  []string
	// Kubeconfig is the path of one for this cluster alone, as its administrator.
	Kubeconfig string
	Nodes      []*Node
	// APIServer is its URL.
	APIServer string

	lab           *Lab // nil for a user's own cluster
	index         int
	families      []family // the primary one first
	site, control *machine.Machine

	mu sync.Mutex
	// connections to the API server. client-go shares them among clients, but forgets them, open, once it has no such client any more.
	connections http.RoundTripper
}

// Node of a cluster.
type Node struct {
	// Name in Kubernetes: "cluster-1-node-1".
	Name string
	Zone string
	// Address is reached from all nodes of all clusters that have its family, and from this computer.
	Address netip.Addr

	cluster *Cluster
	index   int
	machine *machine.Machine // nil while it is off
}

const internetName = "internet"

func (c *Cluster) siteName() string    { return c.Name + "-site" }
func (c *Cluster) controlName() string { return c.Name + "-control" }

// assemble a lab from its state, with no machine.
func assemble(s state) *Lab {
	l := &Lab{state: s, dir: labDir(s.Config.Name)}
	l.Kubeconfig = filepath.Join(l.dir, "kubeconfig")
	for i := range s.Config.Clusters {
		where := placeOf(i)
		name := fmt.Sprintf("cluster-%d", i+1)
		c := &Cluster{
			Name: name, Region: where.region, Zones: where.zones, lab: l, index: i, families: s.Config.families(i),
			Kubeconfig: filepath.Join(l.dir, name+".kubeconfig"),
		}
		c.APIServer = fmt.Sprintf("https://%s", netip.AddrPortFrom(s.Plan.control(c.families[0], i), apiPort))
		for n := range s.Config.Nodes {
			c.Nodes = append(c.Nodes, &Node{
				Name: fmt.Sprintf("%s-node-%d", name, n+1), Zone: where.zones[n%len(where.zones)],
				Address: s.Plan.node(c.families[0], i, n), cluster: c, index: n,
			})
		}
		l.Clusters = append(l.Clusters, c)
	}
	return l
}

// Up builds what is missing and brings a lab up: when it returns, all nodes and
// CoreDNS are ready. On failure nothing is left, unless Config.Keep asks for it.
func Up(ctx context.Context, c Config) (*Lab, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	if err := Supported(); err != nil {
		return nil, err
	}
	build := binaries.Builder{Cache: c.Programs, Progress: c.Progress}
	s, err := programs(ctx, c, build)
	if err != nil {
		return nil, err
	}
	if c.Replace {
		if err := replace(ctx, c.Name); err != nil {
			return nil, err
		}
	}
	if err := raiseLimits(c.Progress); err != nil {
		return nil, err
	}
	began := time.Now()
	if s, err = claim(ctx, s); err != nil {
		return nil, err
	}
	l := assemble(s)
	if l.held, _, err = hold(c.Name); err != nil {
		return nil, errors.Join(err, l.Down(context.WithoutCancel(ctx)))
	}
	if err := l.up(ctx, build); err != nil {
		if c.Keep {
			return nil, fmt.Errorf("%w\nit is left as it is in %s: take it down when you have seen enough", err, l.dir)
		}
		return nil, errors.Join(err, l.Down(context.WithoutCancel(ctx)))
	}
	l.printf("%d clusters up after %v\n", len(l.Clusters), time.Since(began).Round(time.Second/10))
	return l, nil
}

// programs builds what a lab runs, if it is not there.
func programs(ctx context.Context, c Config, build binaries.Builder) (s state, err error) {
	s.Config = c
	if s.Kubernetes, err = build.Programs(ctx, binaries.Kubernetes); err != nil {
		return s, err
	}
	if s.CoreDNS, err = build.Programs(ctx, binaries.CoreDNS); err != nil {
		return s, err
	}
	if c.MetricsServer {
		s.MetricsServer, err = build.Programs(ctx, binaries.MetricsServer)
	}
	return s, err
}

func (l *Lab) up(ctx context.Context, build binaries.Builder) error {
	ctx, cancel := context.WithTimeoutCause(ctx, upTime, fmt.Errorf("the lab was not up within %v", upTime))
	defer cancel()
	if err := os.Mkdir(l.ownPrograms(), 0o755); err != nil {
		return fmt.Errorf("lab: make a folder: %w", err)
	}
	if err := build.Own(ctx, l.ownPrograms(), ownPackages()...); err != nil {
		return err
	}
	if err := l.packImages(ctx); err != nil {
		return err
	}
	if err := l.writeFiles(); err != nil {
		return err
	}
	if err := l.startInternet(ctx); err != nil {
		return err
	}
	var group errgroup.Group // without a context: all failures are reported, not what the first one caused
	for _, c := range l.Clusters {
		group.Go(func() error { return c.up(ctx) })
	}
	group.Go(func() error { return build.Own(ctx, l.ownPrograms(), "e2e/cluster/balancer") })
	if err := group.Wait(); err != nil {
		return err
	}
	for _, c := range l.Clusters {
		if err := c.startBalancer(ctx); err != nil {
			return err
		}
	}
	l.state.Ready = true
	return l.state.write()
}

// Open finds a lab that is up.
func Open(name string) (*Lab, error) {
	if name == "" {
		name = DefaultName
	}
	s, err := readState(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, Absent(name)
	}
	if err != nil {
		return nil, err
	}
	l := assemble(s)
	if err := l.attach(); err != nil {
		return nil, err
	}
	return l, nil
}

// Config that the lab was brought up with.
func (l *Lab) Config() Config { return l.state.Config }

// Dir is the lab's folder; the logs of machine M are in DIR/M/log.
func (l *Lab) Dir() string { return l.dir }

func (l *Lab) printf(format string, args ...any) {
	fmt.Fprintf(l.state.Config.Progress, format, args...)
}

// ownPrograms is the folder of this project's programs that a lab runs.
func (l *Lab) ownPrograms() string { return filepath.Join(l.dir, "bin") }

func ownPackages() []string {
	return []string{"e2e/cluster/machine/init", "e2e/cluster/image/pause"}
}

// startMachine starts a machine of this lab.
func (l *Lab) startMachine(ctx context.Context, name, programs string) (*machine.Machine, error) {
	m, err := machine.Start(ctx, machine.Config{
		Dir:      filepath.Join(l.dir, name),
		Hostname: name,
		Init:     filepath.Join(l.ownPrograms(), "init"),
		Programs: programs,
	})
	if err != nil {
		return nil, err
	}
	return m, within(m, func() error { return route(l.state.Config.allFamilies()) })
}

// startInternet makes the bridge that all sites and this computer are plugged into.
func (l *Lab) startInternet(ctx context.Context) (err error) {
	p := l.state.Plan
	if l.internet, err = l.startMachine(ctx, internetName, l.ownPrograms()); err != nil {
		return err
	}
	if err := addBridge(l.internet); err != nil {
		return err
	}
	var self []netip.Prefix
	for _, f := range l.state.Config.allFamilies() {
		self = append(self, netip.PrefixFrom(p.self(f), f.bits()))
	}
	if err := (wire{bridge: l.internet, port: "computer", device: p.device(), addresses: self}).lay(); err != nil {
		return err
	}
	for i, c := range l.Clusters {
		for _, f := range c.families {
			if err := addRoute(p.site(f, i), p.outside(f, i), 0); err != nil {
				return err
			}
		}
	}
	return nil
}
