package main

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/eastway/eastway/e2e/install"
)

// marker is a service that changes while no proxy lives: a peer that knows it has everything from a new one.
const marker = 0

// replace kills all proxies at once and starts others, which know nothing.
func (b *bench) replace(ctx context.Context) error {
	before, err := b.look(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	for _, p := range b.proxies {
		if err := p.end(syscall.SIGKILL); err != nil {
			return err
		}
	}
	if err := b.cluster.setReady(ctx, marker, false); err != nil {
		return err
	}
	if err := b.startProxies(ctx); err != nil {
		return err
	}
	all := newTimings(ctx)
	since := func(wait func(context.Context) error) func(context.Context) (time.Duration, error) {
		return func(ctx context.Context) (time.Duration, error) {
			err := wait(ctx)
			return time.Since(began), err
		}
	}
	all.add("all proxies replaced: ready after their start", b.proxiesReady)
	all.add("all proxies replaced: every peer holds the catalog of now", since(func(ctx context.Context) error {
		for _, p := range b.peers {
			if err := p.hears(ctx, marker, endpoints-1); err != nil {
				return err
			}
		}
		return nil
	}))
	all.add("all proxies replaced: from both of them, and the dead ones are forgotten", since(b.peersComplete))
	all.add("all proxies replaced: they listen for all imports", since(b.listening))
	if err := all.report(&b.report); err != nil {
		return err
	}
	if err := b.effort(ctx, "all proxies replaced", &before); err != nil {
		return err
	}
	return b.cluster.setReady(ctx, marker, true)
}

// restart the controller in order, when everything is written.
func (b *bench) restart(ctx context.Context) error {
	if err := b.controller.end(syscall.SIGTERM); err != nil {
		return err
	}
	before, err := b.lookWithoutController(ctx)
	if err != nil {
		return err
	}
	if err := b.startController(ctx); err != nil {
		return err
	}
	took, err := b.controller.untilReady(ctx)
	if err != nil {
		return err
	}
	b.report.time("controller restarted: ready", took)
	looked := 0.0
	at, err := b.still(ctx, "the controller to have looked at everything", func(s samples) float64 {
		looked = s.sum(metricReconciles, `controller="service"`)
		return looked
	}, func() error {
		if looked < float64(b.o.imports()) {
			return fmt.Errorf("%.0f looks at %d imports", looked, b.o.imports())
		}
		return nil
	}, metricReconciles)
	if err != nil {
		return err
	}
	b.report.time("controller restarted: has looked at everything", at.Sub(b.controller.started))
	b.report.work("controller restarted: looks", looked, times)
	return b.effort(ctx, "controller restarted", &before)
}

func (b *bench) lookWithoutController(ctx context.Context) (reading, error) {
	b.controller = nil
	return b.look(ctx)
}

// startAgent on one node.
func (b *bench) startAgent(ctx context.Context) (err error) {
	on := b.cluster.Nodes[0]
	health := at(on, nodeHealth)
	b.agent, err = start(ctx, on, b.cluster.dir, "node", health,
		"node", "--namespace="+install.Namespace, "--node-name="+on.Name, "--proxies-service="+install.Release+"-proxies",
		"--daemonset="+install.Release+"-node", "--state="+filepath.Join(b.cluster.dir, "node"), "--health="+health,
		"--cluster="+b.cluster.Name, "--svid="+filepath.Join(b.cluster.dir, "node-svid"), "--kubeconfig="+b.configs["node"])
	return err
}

// restartAgent when everything is known.
func (b *bench) restartAgent(ctx context.Context) error {
	if err := b.agent.end(syscall.SIGKILL); err != nil {
		return err
	}
	if err := b.startAgent(ctx); err != nil {
		return err
	}
	took, err := b.agent.untilReady(ctx)
	b.report.time("node agent restarted: ready", took)
	return err
}
