package main

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/external"
	"github.com/eastway/eastway/discovery/file"
	"github.com/eastway/eastway/discovery/kube"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/kubeconfig"
)

// source sets the local state of the catalog.
type source struct {
	// run follows it until the context ends.
	run func(context.Context) error
	// problems are the current errors and warnings, for the operator.
	problems func() []string
	// reload reads it anew, because an operator wants it; nil: it is always new.
	reload func()
	// stop ends what was started before run was called; nil: nothing was.
	stop func()
}

// checkConfig fails early: a mistyped path must not leave a new CA behind.
func (o *proxyOptions) checkConfig() error {
	if o.kubernetes {
		return nil
	}
	return configDir(o.config)
}

// configDir checks --config.
func configDir(dir string) error {
	if err := file.CheckDir(dir); err != nil {
		return command.Usagef("--config: %w", err)
	}
	return nil
}

// newGuard knows the ports of the flags before they are bound: the API server is followed from early on.
func (o *proxyOptions) newGuard() *discovery.Guard {
	g := &discovery.Guard{AllowLoopback: o.loopbackEndpoints}
	for _, address := range []string{o.listen, o.admin, o.health, o.agents} {
		if port, anywhere := strings.CutPrefix(address, ":"); anywhere {
			address = "[::]:" + port
		}
		if at, err := netip.ParseAddrPort(address); err == nil {
			g.Own(at)
		}
	}
	return g
}

// guardPorts adds what is bound: a flag may leave the port to the kernel, or name a host.
func (p *proxy) guardPorts() {
	bound := []net.Addr{p.node.Addr()}
	for _, s := range p.inside() {
		bound = append(bound, s.Addr())
	}
	for _, a := range bound {
		if a == nil {
			continue // it only dials
		}
		if at, err := netip.ParseAddrPort(a.String()); err == nil {
			p.guard.Own(at)
		}
	}
}

func (p *proxy) openSource(ctx context.Context, spiffeID string, reg prometheus.Registerer) error {
	p.outside = external.New(external.Config{Guard: p.guard, Log: p.log.Named("external"), Registerer: reg}, p.catalog)
	if p.o.kubernetes {
		return p.openKube(ctx, spiffeID, reg)
	}
	s, err := file.New(file.Config{
		Dir: p.o.config, Cluster: p.o.cluster, SPIFFEID: spiffeID, Region: p.o.region,
		ValidatePeer: validatePeer, Guard: p.guard, Log: p.log.Named("config"), Registerer: reg,
	}, p.outside)
	if err != nil {
		return err
	}
	p.source = source{run: s.Run, reload: s.Reload, problems: func() []string { return texts(s.Errors(), file.FileError.Error) }}
	return nil
}

// openKube starts to follow the API server, since the proxy's region and zone are those of its node, and waits for them: they
// come from the API server or, when that is away, from what was known before a restart.
func (p *proxy) openKube(ctx context.Context, spiffeID string, reg prometheus.Registerer) error {
	where, err := kubeconfig.Load(p.o.kubeconfig, p.o.kubeContext)
	if err != nil {
		return err
	}
	s, err := kube.New(kube.Config{
		REST: where, Namespace: p.o.namespace, NodeName: p.o.nodeName, Cluster: p.o.cluster, SPIFFEID: spiffeID, Region: p.o.region,
		SnapshotDir: filepath.Join(p.o.state, "snapshot"), ValidatePeer: validatePeer, Guard: p.guard,
		Log: p.log.Named("kubernetes"), Registerer: reg,
	}, p.outside)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(running) }()
	p.source = source{
		problems: func() []string { return texts(s.Errors(), kube.Problem.String) },
		stop: func() {
			stop()
			if err := <-ended; err != nil {
				p.log.Warn("following the API server failed", zap.Error(err))
			}
		},
		run: func(ctx context.Context) error {
			defer context.AfterFunc(ctx, stop)()
			defer stop()
			return <-ended
		},
	}
	if p.o.nodeName == "" {
		return nil // --region and --zone say it
	}
	at, err := s.WaitLocality(ctx)
	if err != nil {
		return err
	}
	p.o.region, p.o.zone = at.Region, at.Zone
	return nil
}

func texts[E any](errs []E, text func(E) string) []string {
	out := make([]string, 0, len(errs))
	for _, e := range errs {
		out = append(out, text(e))
	}
	return out
}

// logSource is what the first line of the log says of where the catalog comes from.
func (o *proxyOptions) logSource() zap.Field {
	if o.kubernetes {
		return zap.String("kubernetes", o.namespace)
	}
	return zap.String("config", o.config)
}
