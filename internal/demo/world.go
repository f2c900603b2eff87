package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// world is the running processes and what can be done to them.
type world struct {
	topo   topology
	files  layout
	sup    *supervisor
	ledger *ledger
	agent  *agent
	say    func(format string, args ...any)

	mu    sync.Mutex
	procs map[string]*process
	state map[string]string // what was done to a process that is not up
	gone  []string          // zones whose callers died with their cluster
}

// stateUp is a process to which nothing was done, for the live view.
const stateUp = "up"

// up builds the world, starts it and returns when every chain answers from its own zone
// and every tunnel stands.
func (w *world) up(ctx context.Context) error {
	if err := w.build(ctx); err != nil {
		return err
	}
	targets := all(w.topo.zones())
	w.say("starting %d processes: in each of %d zones two proxies, mocka, mockb and mockc", len(targets), len(w.topo.zones()))
	if err := w.start(ctx, targets); err != nil {
		return err
	}
	w.say("all processes are ready; waiting for the tunnels between the clusters")
	if err := w.awaitTunnels(ctx, homeCluster, foreignCluster); err != nil {
		return err
	}
	if err := w.awaitLed(ctx, w.topo.zones()...); err != nil {
		return err
	}
	return w.awaitChains(ctx)
}

// build makes certificates, peers and manifests with the commands that a user would type.
func (w *world) build(ctx context.Context) error {
	for _, c := range w.topo.clusters {
		if _, err := w.command(ctx, "", "certs", "init", "--dir", w.files.ca(c.name), "--cluster", c.name); err != nil {
			return err
		}
	}
	for _, c := range w.topo.clusters {
		args := []string{"peer", "export", "--cluster", c.name, "--ca", w.files.ca(c.name)}
		for _, z := range c.zones {
			for _, proxy := range proxyRoles() {
				args = append(args, "--address", z.tunnel(proxy).String())
			}
		}
		manifest, err := w.command(ctx, " > "+w.files.peer(c.name), args...)
		if err != nil {
			return err
		}
		if err := os.WriteFile(w.files.peer(c.name), []byte(manifest), fileMode); err != nil {
			return fmt.Errorf("write the peer of %s: %w", c.name, err)
		}
	}
	for _, c := range w.topo.clusters {
		if err := w.configure(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// configure fills the configuration directories of a cluster's proxies.
func (w *world) configure(ctx context.Context, c cluster) error {
	shown := false
	for _, z := range c.zones {
		for _, proxy := range proxyRoles() {
			data, err := manifests(c, z, proxy)
			if err != nil {
				return err
			}
			dir := w.files.config(z, proxy)
			if err := os.WriteFile(filepath.Join(dir, "services.yaml"), data, fileMode); err != nil {
				return fmt.Errorf("write the manifests of %s: %w", z.process(proxy), err)
			}
			for _, other := range w.topo.clusters {
				if other.name == c.name {
					continue
				}
				args := []string{"peer", "import", w.files.peer(other.name), "--config", dir}
				if !shown {
					w.say("$ eastway %s  # and for the cluster's other proxies", strings.Join(args, " "))
					shown = true
				}
				if _, err := w.sup.command(ctx, args...); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (w *world) command(ctx context.Context, redirect string, args ...string) (string, error) {
	w.say("$ eastway %s%s", strings.Join(args, " "), redirect)
	return w.sup.command(ctx, args...)
}

// args is the command line of a zone's process.
func (w *world) args(z zone, role string) []string {
	if isProxy(role) {
		return []string{
			"proxy", "--cluster", z.cluster, "--region", z.region, "--zone", z.name,
			"--config", w.files.config(z, role), "--ca", w.files.ca(z.cluster), "--state", w.files.state(z, role),
			"--listen", z.tunnel(role).String(), "--admin", z.admin(role).String(),
			"--access-log", w.files.access(z, role), "--log-level", "info",
		}
	}
	args := []string{
		"demo", "app", "--name", role, "--zone", z.name, "--listen", z.app(role).String(),
		"--executions", w.files.executions(z.process(role)),
	}
	if up := upstreamOf(role); up != "" {
		args = append(args, "--upstream-url", serviceURL(up), "--routes", w.files.routes(z))
	}
	return args
}

// target is one process of the world by place and role.
type target struct {
	zone zone
	role string
}

func (t target) name() string { return t.zone.process(t.role) }

// processes are the names of all these.
func processes(targets []target) []string {
	var names []string
	for _, t := range targets {
		names = append(names, t.name())
	}
	return names
}

// all are the processes of these zones.
func all(zones []zone) []target {
	var targets []target
	for _, z := range zones {
		for _, role := range zoneRoles() {
			targets = append(targets, target{z, role})
		}
	}
	return targets
}

// proxies are those of the proxies of these zones.
func proxies(zones ...zone) []target {
	var targets []target
	for _, z := range zones {
		for _, role := range proxyRoles() {
			targets = append(targets, target{z, role})
		}
	}
	return targets
}

// only is one role's processes in these zones.
func only(role string, zones ...zone) []target {
	targets := make([]target, 0, len(zones))
	for _, z := range zones {
		targets = append(targets, target{z, role})
	}
	return targets
}

// start starts processes and returns when they are ready; outages of theirs end then.
func (w *world) start(ctx context.Context, targets []target) error {
	for _, t := range targets {
		p, err := w.sup.start(ctx, t.name(), w.args(t.zone, t.role))
		if err != nil {
			return err
		}
		w.mu.Lock()
		w.procs[t.name()] = p
		w.mu.Unlock()
	}
	ready, readyCtx := errgroup.WithContext(ctx)
	for _, t := range targets {
		ready.Go(func() error { return w.awaitReady(readyCtx, t, readyTimeout) })
	}
	if err := ready.Wait(); err != nil {
		return err
	}
	for _, t := range targets {
		w.setState(t, stateUp)
		w.ledger.back(time.Now(), t.name())
	}
	return nil
}

func (w *world) process(name string) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.procs[name]
}

func (w *world) setState(t target, state string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state[t.name()] = state
}

// setCallersGone marks the callers of these zones as dead, or as there again.
func (w *world) setCallersGone(zones ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = zones
}

func (w *world) callersGone(zone string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.gone, zone)
}

// down names the processes that are not up, with their state, sorted.
func (w *world) down() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var down []string
	for name, state := range w.state {
		if state != stateUp {
			down = append(down, name+" "+state)
		}
	}
	slices.Sort(down)
	return down
}
