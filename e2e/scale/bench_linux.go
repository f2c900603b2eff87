package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/e2e/install"
	"github.com/eastway/eastway/internal/peering"
)

// patience for anything: what 10,000 services need takes the API server more than an hour to write on two cores.
const patience = 3 * time.Hour

// Ports of the processes, the chart's.
const (
	tunnelPort       = 15443
	proxyAdmin       = 15000
	proxyHealth      = 15020
	proxyAgents      = 15024
	controllerHealth = 15021
	nodeHealth       = 15022
)

// bench is one run.
type bench struct {
	o          options
	cluster    *cluster
	peers      []*peer
	controller *process
	proxies    []*process
	agent      *process
	configs    map[string]string // kubeconfigs by component
	manifest   *v1alpha1.Peer    // the cluster's own
	report     report
}

// run all of it, and leave nothing behind.
func run(ctx context.Context, o options) (r report, err error) {
	b := &bench{o: o, configs: map[string]string{}}
	b.report = report{Services: o.services, Peers: o.peers, Imports: o.imports(), CPUs: runtime.NumCPU()}
	defer func() { err = errors.Join(err, b.close(ctx)) }()
	for _, step := range b.steps() {
		began, known := time.Now(), len(b.report.Figures)
		if err := step.do(ctx); err != nil {
			return b.report, fmt.Errorf("%s: %w", step.what, err)
		}
		fmt.Fprintf(o.progress, "%s: %v\n", step.what, time.Since(began).Round(time.Second/10))
		for _, f := range b.report.Figures[known:] {
			fmt.Fprintf(o.progress, "  %s: %s\n", f.Name, f.text())
		}
	}
	return b.report, nil
}

// step of a run.
type step struct {
	what string
	do   func(context.Context) error
}

func (b *bench) steps() []step {
	return []step{
		{"bring up a cluster", b.prepare},
		{"make what is exported", b.populate},
		{"start and converge", b.converge},
		{"do nothing", b.rest},
		{"change readiness here", b.changeHere},
		{"change readiness at the peers", b.changeThere},
		{"replace the proxies", b.replace},
		{"restart the controller", b.restart},
		{"restart the node agent", b.restartAgent},
	}
}

func (b *bench) prepare(ctx context.Context) (err error) {
	if b.cluster, err = newCluster(ctx, &b.o); err != nil {
		return err
	}
	if err := b.cluster.install(ctx, b.o.progress); err != nil {
		return err
	}
	for _, component := range []string{"controller", "proxy", "node"} {
		if b.configs[component], err = b.cluster.kubeconfig(ctx, component); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) populate(ctx context.Context) error {
	if err := b.cluster.populate(ctx, &b.o); err != nil {
		return err
	}
	if err := b.cluster.placeProxies(ctx); err != nil {
		return err
	}
	self, err := addressTowards(ctx, b.cluster.Nodes[0])
	if err != nil {
		return err
	}
	for n := range b.o.peers {
		p, err := newPeer(ctx, &b.o, n, b.cluster.Name, self)
		if err != nil {
			return err
		}
		b.peers = append(b.peers, p)
		if err := b.cluster.trust(ctx, p); err != nil {
			return err
		}
	}
	return b.cluster.pause(ctx)
}

// addressTowards is the address of this computer that a node sees.
func addressTowards(ctx context.Context, n *lab.Node) (string, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", net.JoinHostPort(n.Address.String(), "9")) // nothing is sent
	if err != nil {
		return "", fmt.Errorf("find the way to %s: %w", n.Name, err)
	}
	defer c.Close()
	host, _, err := net.SplitHostPort(c.LocalAddr().String())
	return host, err
}

func at(n *lab.Node, port int) string {
	return net.JoinHostPort(n.Address.String(), strconv.Itoa(port))
}

// startController with the chart's flags.
func (b *bench) startController(ctx context.Context) (err error) {
	on := b.cluster.Nodes[0]
	args := []string{
		"controller", "--cluster=" + b.cluster.Name, "--namespace=" + install.Namespace, "--release=" + install.Release,
		"--owner-cluster-role=" + install.Release + "-controller", "--proxies-service=" + install.Release + "-proxies",
		fmt.Sprintf("--listener-ports=%d-%d", firstPort, lastPort), "--health=" + at(on, controllerHealth),
		"--kubeconfig=" + b.configs["controller"],
	}
	for _, n := range b.cluster.proxyNodes() {
		args = append(args, "--public-address="+at(n, tunnelPort))
	}
	b.controller, err = start(ctx, on, b.cluster.dir, "controller", at(on, controllerHealth), args...)
	return err
}

// startProxies without anything of earlier ones, as pods are that replace others.
func (b *bench) startProxies(ctx context.Context) error {
	b.proxies = nil
	for i, on := range b.cluster.proxyNodes() {
		name := fmt.Sprintf("proxy-%d", i+1)
		state := filepath.Join(b.cluster.dir, name)
		if err := os.RemoveAll(state); err != nil {
			return fmt.Errorf("empty the state of %s: %w", name, err)
		}
		p, err := start(ctx, on, b.cluster.dir, name, at(on, proxyHealth),
			"proxy", "--kubernetes", "--cluster="+b.cluster.Name, "--namespace="+install.Namespace, "--node-name="+on.Name,
			"--svid="+filepath.Join(b.cluster.dir, "svid"), "--state="+state, "--listen=:"+strconv.Itoa(tunnelPort),
			"--health="+at(on, proxyHealth), "--agents="+at(on, proxyAgents), "--admin="+at(on, proxyAdmin), "--unsafe-admin-remote",
			"--kubeconfig="+b.configs["proxy"])
		if err != nil {
			return err
		}
		p.admin = at(on, proxyAdmin)
		b.proxies = append(b.proxies, p)
	}
	return nil
}

// mountIdentity waits for the controller to have made the certificates, and puts them where proxies and agents look for them.
func (b *bench) mountIdentity(ctx context.Context) error {
	var svids map[string]map[string][]byte
	var own string
	err := await(ctx, "the cluster's identity", readyPoll, func() (err error) {
		svids, own, err = b.cluster.identity(ctx)
		return errors.Join(err, b.controller.alive())
	})
	if err != nil {
		return err
	}
	for of, svid := range svids {
		dir := filepath.Join(b.cluster.dir, of)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("folder of the certificate: %w", err)
		}
		for name, data := range svid {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				return fmt.Errorf("write the certificate: %w", err)
			}
		}
	}
	manifest, err := peering.Parse([]byte(own))
	if err != nil {
		return fmt.Errorf("the cluster's own Peer manifest: %w", err)
	}
	b.manifest = manifest.Peer
	return nil
}

// acquaint the peers with the cluster.
func (b *bench) acquaint() error {
	for _, p := range b.peers {
		if err := p.trust(b.manifest); err != nil {
			return err
		}
	}
	return nil
}

// processes that run now.
func (b *bench) processes() []*process {
	all := append([]*process{}, b.proxies...)
	for _, p := range []*process{b.controller, b.agent} {
		if p != nil {
			all = append(all, p)
		}
	}
	return all
}

func (b *bench) close(ctx context.Context) error {
	var errs []error
	for _, p := range b.processes() {
		errs = append(errs, p.end(syscall.SIGKILL))
	}
	for _, p := range b.peers {
		errs = append(errs, p.close())
	}
	if b.cluster != nil && b.cluster.lab != nil {
		errs = append(errs, b.cluster.down(ctx))
	}
	return errors.Join(errs...)
}
