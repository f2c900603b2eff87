package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/external"
	"github.com/eastway/eastway/failover"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/descriptors"
	"github.com/eastway/eastway/internal/drill"
	"github.com/eastway/eastway/internal/eventlog"
	"github.com/eastway/eastway/internal/httpserve"
	"github.com/eastway/eastway/internal/pace"
	"github.com/eastway/eastway/internal/signals"
	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/internal/version"
	"github.com/eastway/eastway/tunnel"
)

// proxy is everything that one `eastway proxy` runs.
type proxy struct {
	o        proxyOptions
	log      *zap.Logger
	started  time.Time
	access   *access.File
	draining atomic.Bool
	gate     gate

	identity identity
	auth     *certs.Authenticator
	catalog  *discovery.Catalog
	source   source
	// outside finds where external services are.
	outside  *external.Resolver
	exchange *discovery.Exchange
	node     *tunnel.Node
	failover *failover.Proxy
	admin    *httpserve.Server
	guard    *discovery.Guard
	health   *httpserve.Server // nil: there is none
	agents   *admin.Agents     // nil: there is none

	// Of the last applyPeers.
	peers map[string]*discovery.Peer // nil: there was none
	own   certs.Peer
}

// identity is a source of SVIDs that renews them while it runs.
type identity interface {
	x509svid.Source
	// Bundle is the own trust bundle.
	Bundle() *x509bundle.Bundle
	// ID is the own SPIFFE ID, also while there is no valid certificate.
	ID() spiffeid.ID
	// Problems are what is wrong with it now.
	Problems() []string
	// Changed is closed when the bundle may be another one.
	Changed() <-chan struct{}
	// Reload has Run read its files now.
	Reload()
	Run(ctx context.Context) error
}

// runProxy runs until ctx ends, then drains.
func runProxy(ctx context.Context, o proxyOptions, stdout, stderr io.Writer) error {
	level, err := zapcore.ParseLevel(o.logLevel)
	if err != nil {
		return command.Usagef("--log-level: %w", err)
	}
	caught := signals.Catch()
	defer caught.Stop()
	if err := o.checkConfig(); err != nil {
		return err
	}
	p := &proxy{o: o, log: eventlog.New(stderr, level), started: time.Now()}
	reg := newRegistry(o.cluster)
	if p.access, err = access.Open(o.accessFile(stdout, p.log, reg)); err != nil {
		return err
	}
	defer p.access.Close()
	if err := p.build(ctx, reg, p.access.Logger()); err != nil {
		return errors.Join(err, p.release(ctx))
	}
	return p.run(ctx, caught)
}

// registry takes metrics and gives them to the admin listener.
type registry interface {
	prometheus.Registerer
	prometheus.Gatherer
}

// newRegistry labels all metrics with the cluster: what one cluster loses must not be hidden in a Prometheus that has several.
func newRegistry(cluster string) registry {
	all := prometheus.NewRegistry()
	return struct {
		prometheus.Registerer
		prometheus.Gatherer
	}{prometheus.WrapRegistererWith(prometheus.Labels{"cluster": cluster}, all), all}
}

// build makes all parts and binds the tunnel and admin sockets; nothing runs yet.
func (p *proxy) build(ctx context.Context, reg registry, accessLog *zap.Logger) error {
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	p.guard = p.o.newGuard()
	id, err := p.openIdentity(reg)
	if err != nil {
		return err
	}
	if p.auth, err = certs.NewAuthenticator(certs.Config{Source: p.identity, Registerer: reg}); err != nil {
		return err
	}
	p.catalog = discovery.NewCatalog(reg)
	if err := p.openSource(ctx, id.String(), reg); err != nil {
		return err
	}
	p.exchange, err = discovery.NewExchange(discovery.ExchangeConfig{
		Cluster: p.o.cluster, Catalog: p.catalog, Log: p.log.Named("exchange"), Registerer: reg,
		PeerStates: func() []discovery.PeerConnectivity { return peerStates(p.node.Status(), p.o.cluster) },
	})
	if err != nil {
		return err
	}
	if err := p.buildTraffic(ctx, reg, accessLog); err != nil {
		return err
	}
	if err := p.listenAdmin(ctx, reg); err != nil {
		return err
	}
	p.guardPorts()
	return nil
}

// listenAdmin opens the admin listener and, if configured, those for probes and for node agents.
func (p *proxy) listenAdmin(ctx context.Context, reg registry) error {
	cfg := admin.Config{
		Address: p.o.admin, AllowRemote: p.o.adminRemote, Gatherer: reg, Registerer: reg, Logger: p.log.Named("admin"),
		Checks:    []admin.Check{{Name: "proxy", Ready: p.ready, Serving: p.serving}},
		Listeners: p.failover,
		Status:    p.status,
		Endpoints: p.endpoints,
		Explain:   p.failover.Explain,
		Authz:     p.failover.Authorization,
		Probe:     p.failover.Probe,
		More:      drill.Handlers(p.failover.Drills(), p.o.adminRemote),
	}
	var err error
	if p.admin, err = admin.Listen(ctx, cfg); err != nil {
		return fmt.Errorf("--admin: %w", err)
	}
	if p.o.health != "" {
		cfg.Address, cfg.HealthOnly, cfg.HealthListeners = p.o.health, true, p.o.healthListeners
		if p.health, err = admin.Listen(ctx, cfg); err != nil {
			return fmt.Errorf("--health: %w", err)
		}
	}
	if p.o.agents != "" {
		cfg.Address = p.o.agents
		if p.agents, err = admin.ListenAgents(ctx, cfg, certs.NodeServerConfig(p.identity, nil)); err != nil {
			return fmt.Errorf("--agents: %w", err)
		}
	}
	return nil
}

// inside are the listeners for the own cluster that are open.
func (p *proxy) inside() []insideServer {
	var all []insideServer
	if p.admin != nil {
		all = append(all, p.admin)
	}
	if p.health != nil {
		all = append(all, p.health)
	}
	if p.agents != nil {
		all = append(all, p.agents)
	}
	return all
}

// insideServer is one of them.
type insideServer interface {
	Run(ctx context.Context) error
	Addr() net.Addr
	Problems() []string
}

// release closes what build opened before it failed: parts that run until a context which has ended close their sockets.
func (p *proxy) release(ctx context.Context) error {
	if p.source.stop != nil {
		p.source.stop()
	}
	ended, end := context.WithCancel(ctx)
	end()
	var errs []error
	if p.node != nil {
		errs = append(errs, p.node.Run(ended))
	}
	for _, s := range p.inside() {
		errs = append(errs, s.Run(ended))
	}
	return errors.Join(errs...)
}

// buildTraffic makes what moves bytes.
func (p *proxy) buildTraffic(ctx context.Context, reg prometheus.Registerer, accessLog *zap.Logger) error {
	limit := limitMemory(p.log)
	var err error
	p.node, err = tunnel.New(ctx, tunnel.Config{
		Cluster: p.o.cluster, Region: p.o.region, Zone: p.o.zone, Version: version.Get().Version, Listen: p.o.listen,
		Credentials: p.auth, Reason: certs.Reason,
		Handle:      p.serveStream,
		Messages:    p.exchangeMessages,
		DisableTCP:  !slices.Contains(p.o.transports, "tcp"),
		DisableQUIC: !slices.Contains(p.o.transports, "quic"),
		PeerMemory:  peerMemory(&p.o.peerMemory.Quantity, limit, p.log),
		Log:         p.log.Named("tunnel"), Metrics: reg,
	})
	if err != nil {
		return err
	}
	p.failover, err = failover.New(failover.Config{
		Cluster: p.o.cluster, Locality: discovery.Locality{Region: p.o.region, Zone: p.o.zone}, Started: time.Now(),
		Catalog: p.catalog, Tunnels: failover.TunnelsOf(p.node), Guard: p.guard, Log: p.log, AccessLog: accessLog, Metrics: reg,
		OpenFiles: descriptors.Limit(), Memory: limit, Identity: p.identity,
		MaxConnections: p.o.limits.connections, MaxConnectionsPerListener: p.o.limits.perListener,
		MaxStreams: p.o.limits.streams, MaxStreamsPerPeer: p.o.limits.perPeer,
	})
	return err
}

// openIdentity opens the SVID files, or the CA, which it makes on the first start.
func (p *proxy) openIdentity(reg prometheus.Registerer) (spiffeid.ID, error) {
	log := p.log.Named("certs")
	if p.o.svid != "" {
		s, err := certs.NewFileSource(certs.FileSourceConfig{Dir: p.o.svid, Name: p.o.cluster, Log: log, Registerer: reg})
		if errors.Is(err, fs.ErrNotExist) {
			return spiffeid.ID{}, fmt.Errorf("--svid: %w: `eastway certs issue` makes the files", err)
		}
		if err != nil {
			return spiffeid.ID{}, fmt.Errorf("--svid: %w", err)
		}
		p.identity = s
	} else {
		s, err := p.openCA(log, reg)
		if err != nil {
			return spiffeid.ID{}, err
		}
		p.identity = s
	}
	return p.identity.ID(), nil
}

func (p *proxy) openCA(log *zap.Logger, reg prometheus.Registerer) (*certs.CASource, error) {
	td, err := certs.DefaultTrustDomain(p.o.cluster)
	if p.o.trustDomain != "" {
		td, err = spiffeid.TrustDomainFromString(p.o.trustDomain)
	}
	if err != nil {
		return nil, fmt.Errorf("--trust-domain: %w", err)
	}
	var ca *certs.CA
	if p.o.trustDomain == "" {
		ca, err = certs.OpenCA(p.o.caDir(), certs.Options{}) // one that exists may be of any trust domain
	}
	if ca == nil && (err == nil || errors.Is(err, fs.ErrNotExist)) {
		ca, err = certs.OpenCA(p.o.caDir(), certs.Options{TrustDomain: td})
	}
	if err != nil {
		flag := "--ca"
		if p.o.ca == "" {
			flag = "--state"
		}
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	if ca.Created() {
		log.Info("made this cluster's certificate authority", zap.String("dir", p.o.caDir()), zap.Stringer("trust_domain", ca.TrustDomain()))
	}
	return certs.NewCASource(certs.CASourceConfig{CA: ca, Dir: p.o.caDir(), Name: p.o.cluster, Log: log, Registerer: reg})
}

// run runs all parts until ctx ends, then drains and stops them. Its parts do not see ctx: they outlive it by the drain.
func (p *proxy) run(ctx context.Context, caught *signals.Caught) error {
	live, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, live := errgroup.WithContext(live)
	parts := []func(context.Context) error{
		p.identity.Run, p.source.run, p.outside.Run, p.followPeers, p.node.Run, p.failover.Run,
		func(ctx context.Context) error { return caught.Run(ctx, p.log, p.reload) },
	}
	for _, s := range p.inside() {
		parts = append(parts, s.Run)
	}
	for _, part := range parts {
		g.Go(func() error { return part(live) })
	}
	p.log.Info("proxy started", zap.String("cluster", p.o.cluster), zap.String("replica", p.node.Replica()),
		zap.String("region", p.o.region), zap.String("zone", p.o.zone),
		p.o.logSource(), zap.String("tunnels", addrText(p.node)), zap.Stringer("admin", p.admin.Addr()), zap.String("version", version.Get().Version))
	select {
	case <-ctx.Done():
		p.drain(live)
	case <-live.Done():
	}
	stop()
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	p.log.Info("proxy stopped", zap.Error(err))
	return err
}

// reload is what SIGHUP and SIGUSR1 have it do.
func (p *proxy) reload() {
	p.access.Reopen()
	p.identity.Reload()
	if p.source.reload != nil {
		p.source.reload()
	}
}

func addrText(n *tunnel.Node) string {
	if a := n.Addr(); a != nil {
		return a.String()
	}
	return "only dialed"
}

// drain lets open connections end: first it is no longer ready and sends peers GoAway, but goes on accepting; then listeners close.
func (p *proxy) drain(ctx context.Context) {
	p.draining.Store(true)
	p.log.Info("draining", zap.Duration("delay", p.o.drainDelay), zap.Duration("timeout", p.o.drainTimeout),
		zap.Int("connections", p.failover.Active()))
	p.node.GoAway()
	if p.o.drainDelay > 0 && !pace.Sleep(ctx, p.o.drainDelay) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, p.o.drainTimeout)
	defer cancel()
	// One after the other: connections under way may still need a stream.
	if err := errors.Join(p.failover.Drain(ctx), p.node.Drain(ctx)); err != nil {
		p.log.Warn("not everything ended in time", zap.Error(err))
	}
}

// followPeers keeps trust and tunnels in line with the Peer manifests.
func (p *proxy) followPeers(ctx context.Context) error {
	for {
		changed, renewed := p.catalog.Changed(), p.identity.Changed()
		p.applyPeers(p.catalog.Snapshot())
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-renewed:
		}
	}
}

// applyPeers does nothing unless a Peer or the own trust bundle has changed: what it does takes a while for every tunnel.
func (p *proxy) applyPeers(s *discovery.Snapshot) {
	own, sibling := p.sibling()
	same := func(a, b *discovery.Peer) bool { return a == b || reflect.DeepEqual(a, b) }
	if p.peers != nil && maps.EqualFunc(p.peers, s.Peers, same) && p.own.ID == own.ID && p.own.Bundle.Equal(own.Bundle) {
		return
	}
	var trust []certs.Peer
	var dial []tunnel.Peer
	for name, peer := range s.Peers {
		t, err := trustOf(name, &peer.Spec)
		if err != nil {
			p.log.Error("peer is not usable", zap.String("peer", name), zap.Error(err)) // the source has validated it
			continue
		}
		trust = append(trust, t)
		dial = append(dial, tunnel.Peer{Name: name, Addresses: peer.Spec.Addresses})
	}
	if sibling {
		trust, dial = append(trust, own), append(dial, tunnel.Peer{Name: own.Name})
	}
	if err := p.auth.SetPeers(trust); err != nil {
		p.log.Error("peers are not usable, the last good ones stay", zap.Error(err))
		return
	}
	p.node.SetPeers(dial)
	p.peers, p.own = maps.Clone(s.Peers), own
	if p.peers == nil {
		p.peers = map[string]*discovery.Peer{}
	}
}

func (p *proxy) status() admin.Status {
	snapshot := p.catalog.Snapshot()
	st := admin.Status{
		Cluster: p.o.cluster, Replica: p.node.Replica(), Version: version.Get().Version,
		Region: p.o.region, Zone: p.o.zone, Started: p.started,
		Peers: peersOnly(p.node.Status(), p.o.cluster), Services: admin.Services(snapshot),
		Limits: p.failover.Limits(),
	}
	if p.draining.Load() {
		st.Errors = append(st.Errors, fmt.Sprintf("this proxy shuts down: it ends when its connections have ended (%d now), or after --drain-timeout",
			p.failover.Active()))
	}
	st.Errors = append(append(st.Errors, p.identity.Problems()...), p.auth.Problems(time.Now())...)
	st.Errors = append(append(st.Errors, p.source.problems()...), p.outside.Problems()...)
	st.Errors = append(st.Errors, snapshot.Problems()...)
	st.Errors = append(st.Errors, p.node.Problems()...)
	st.Errors = append(st.Errors, p.failover.Problems()...)
	st.Errors = append(st.Errors, p.access.Problems()...)
	for _, s := range p.inside() {
		st.Errors = append(st.Errors, s.Problems()...)
	}
	st.Listening(p.failover.Listening())
	return st
}

func (p *proxy) endpoints(namespace, name string) ([]status.Endpoint, bool) {
	rows := p.failover.Endpoints(discovery.ServiceName{Namespace: namespace, Name: name})
	return rows, rows != nil
}
