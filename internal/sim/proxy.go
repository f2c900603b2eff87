package sim

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover"
	"github.com/eastway/eastway/internal/sim/leak"
	"github.com/eastway/eastway/internal/sim/pki"
	"github.com/eastway/eastway/internal/sim/simnet"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/transport"
)

const (
	// noticed is how long node agents take to notice that a proxy is not ready any more.
	noticed = time.Second
	// readyAfter is how long a new proxy waits for its tunnels before it is ready all the same.
	readyAfter = 5 * time.Second
	// drainDelay and drainTimeout are those of `eastway proxy`, shorter.
	drainDelay   = 2 * time.Second
	drainTimeout = 10 * time.Second
)

// proxy is one replica's place: a host, on which one process after the other runs.
type proxy struct {
	w       *world
	cluster *cluster
	index   int
	name    string
	host    *simnet.Host
	busy    claim
	port    uint16 // for tunnels; guarded by the cluster's mu

	mu       sync.Mutex
	starts   int
	run      *proxyRun // nil: none runs
	ready    bool
	lost     time.Time     // since when it is not ready
	skew     time.Duration // of its clock
	draining bool
}

// proxyRun is one process, wired like that of cmd/eastway.
type proxyRun struct {
	proxy    *proxy
	replica  string
	proc     *simnet.Process
	catalog  *discovery.Catalog
	exchange *discovery.Exchange
	auth     *certs.Authenticator
	node     *tunnel.Node
	failover *failover.Proxy
	registry *prometheus.Registry
	sessions leak.Sessions
	stop     context.CancelFunc
	parts    sync.WaitGroup
	mu       sync.Mutex // one change of the catalog after the other
}

// route names a proxy as a way that calls may take; see truth.
func (p *proxy) route() string { return p.name + " route" }

// tunnelAddress is where peers dial the proxy.
func (p *proxy) tunnelAddress() netip.AddrPort {
	p.cluster.mu.Lock()
	defer p.cluster.mu.Unlock()
	return netip.AddrPortFrom(p.host.Addr(), p.port)
}

// believedReady is whether callers are led to the proxy.
func (p *proxy) believedReady() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ready || !p.lost.IsZero() && time.Since(p.lost) < noticed
}

func (p *proxy) isReady() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ready
}

// current is the process that runs, if one does.
func (p *proxy) current() *proxyRun {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

// start starts a process.
func (p *proxy) start() {
	p.mu.Lock()
	p.starts++
	r := &proxyRun{
		proxy: p, replica: fmt.Sprintf("%s-%d", p.name, p.starts), proc: p.host.Start(), registry: prometheus.NewRegistry(),
	}
	p.mu.Unlock()
	if err := r.build(); err != nil {
		p.w.findings.violate(RuleClean, "%s does not start: %v", r.replica, err)
		return
	}
	ctx, stop := context.WithCancel(p.w.ctx)
	r.stop = stop
	p.mu.Lock()
	p.run, p.draining = r, false
	p.mu.Unlock()
	for _, part := range []func(context.Context) error{r.followPeers, r.node.Run, r.failover.Run, r.becomeReady} {
		r.parts.Go(func() {
			if err := part(ctx); err != nil && ctx.Err() == nil {
				p.w.findings.violate(RuleClean, "%s: %v", r.replica, err)
			}
		})
	}
	p.readCatalog()
	p.w.trace.Add("%s starts", r.replica)
}

func (r *proxyRun) build() (err error) {
	p := r.proxy
	log := p.w.trace.Logger(r.replica)
	r.catalog = discovery.NewCatalog(r.registry)
	if r.auth, err = certs.NewAuthenticator(certs.Config{Source: r, Now: p.now}); err != nil {
		return err
	}
	r.exchange, err = discovery.NewExchange(discovery.ExchangeConfig{
		Cluster: p.cluster.name, Catalog: r.catalog, Log: log, Registerer: r.registry,
	})
	if err != nil {
		return err
	}
	at := p.cluster.zone(p.index % zones)
	r.node, err = tunnel.New(p.w.ctx, tunnel.Config{
		Cluster: p.cluster.name, Replica: r.replica, Region: at.Region, Zone: at.Zone, Version: "sim",
		Listen: p.tunnelAddress().String(), Credentials: r.auth, Reason: certs.Reason,
		Handle: r.serveStream,
		Messages: func(ctx context.Context, l tunnel.Link, c tunnel.MessageConn) error {
			return r.exchange.Serve(ctx, l.Peer, l.Replica, c)
		},
		Transports: []transport.Transport{leak.Watched(r.transport(), &r.sessions)}, Log: log, Metrics: r.registry,
	})
	if err != nil {
		return err
	}
	r.failover, err = failover.New(failover.Config{
		Cluster: p.cluster.name, Locality: at, Catalog: r.catalog, Tunnels: failover.TunnelsOf(r.node), Network: simnet.Calls{Process: r.proc},
		Log: log, AccessLog: p.w.access.Logger(r.replica), Metrics: r.registry,
	})
	if err != nil {
		return err
	}
	leak.Remember(p.w.parts, r.replica+"'s tunnels", r.node)
	leak.Remember(p.w.parts, r.replica+"'s failover", r.failover)
	leak.Remember(p.w.parts, r.replica+"'s catalog", r.catalog)
	leak.Remember(p.w.parts, r.replica+"'s exchange", r.exchange)
	return nil
}

func (p *proxy) setSkew(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.skew = d
}

// now is the proxy's clock.
func (p *proxy) now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Add(p.skew)
}

// GetX509SVID is the newest of the cluster.
func (r *proxyRun) GetX509SVID() (*x509svid.SVID, error) {
	c := r.proxy.cluster
	c.mu.Lock()
	k := pki.Key{Cluster: c.name, Root: c.issuing, Serial: c.serial}
	c.mu.Unlock()
	return c.w.keys.SVID(k)
}

// readCatalog has the process that runs see its cluster's catalog of now.
func (p *proxy) readCatalog() {
	r := p.current()
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.catalog.SetLocal(p.cluster.local(p))
}

// followPeers keeps trust and tunnels in line with the catalog.
func (r *proxyRun) followPeers(ctx context.Context) error {
	for {
		changed := r.catalog.Changed()
		if err := r.applyPeers(r.catalog.Snapshot()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

func (r *proxyRun) applyPeers(s *discovery.Snapshot) error {
	var trust []certs.Peer
	var dial []tunnel.Peer
	for name, peer := range s.Peers {
		t, err := certs.ParsePeer(name, peer.Spec.SPIFFEID, peer.Spec.TrustBundle)
		if err != nil {
			return err
		}
		trust = append(trust, t)
		dial = append(dial, tunnel.Peer{Name: name, Addresses: peer.Spec.Addresses})
	}
	if err := r.auth.SetPeers(trust); err != nil {
		return err
	}
	r.node.SetPeers(dial)
	return nil
}

// becomeReady waits until the proxy listens and has heard from all peers that it dials, or has waited long enough.
func (r *proxyRun) becomeReady(ctx context.Context) error {
	began := time.Now()
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for r.failover.Revision() == 0 || r.failover.Ready() != nil || time.Since(began) < readyAfter && !r.heardAll() {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
	p := r.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == r && !p.draining {
		p.ready, p.lost = true, time.Time{}
		p.w.trace.Add("%s is ready", r.replica)
	}
	return nil
}

func (r *proxyRun) heardAll() bool {
	for name, peer := range r.catalog.Snapshot().Peers {
		if len(peer.Spec.Addresses) > 0 && (!r.node.State(name).Usable || !r.catalog.Heard(name)) {
			return false
		}
	}
	return true
}

// takeDown ends the proxy's process as far as others see, and returns it.
func (p *proxy) takeDown() *proxyRun {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.run
	p.run = nil
	p.unreadyLocked()
	return r
}

func (p *proxy) unreadyLocked() {
	if p.ready {
		p.ready, p.lost = false, time.Now()
	}
}

// kill is kill -9.
func (p *proxy) kill() {
	r := p.takeDown()
	if r == nil {
		return
	}
	p.w.trace.Add("%s is killed", r.replica)
	r.end()
}

// end ends the process at once.
func (r *proxyRun) end() {
	r.proc.Kill()
	r.stop()
	r.parts.Wait()
	r.checkEnded()
}

// drain is SIGTERM. It returns when the process has ended.
func (p *proxy) drain() {
	p.mu.Lock()
	r := p.run
	p.draining = true
	p.unreadyLocked()
	p.mu.Unlock()
	if r == nil {
		return
	}
	p.w.trace.Add("%s drains", r.replica)
	r.node.GoAway()
	pass(drainDelay)
	ctx, cancel := context.WithTimeout(p.w.ctx, drainTimeout)
	defer cancel()
	over := time.Now().Add(drainTimeout)
	open := r.failover.Drain(ctx)
	streams := r.node.Drain(ctx)
	p.w.trace.Add("%s has drained: %v, %v", r.replica, open, streams)
	if open != nil || streams != nil {
		p.w.truth.note(p.name, "a proxy stopped, and the call took longer than its drain timeout", over, over.Add(time.Second))
	}
	if p.takeDown() == r {
		r.stop()
		r.parts.Wait()
		r.checkEnded()
		r.proc.Kill()
	}
}

func (r *proxyRun) serveStream(in *tunnel.Incoming) { r.failover.ServeStream(failover.IncomingOf(in)) }

// transport is what a proxy has its tunnels over.
func (r *proxyRun) transport() transport.Transport {
	w := r.proxy.w
	if w.plan.Memory {
		return w.memory.Transport(r.proxy.host.Addr().String())
	}
	tunnels := simnet.Tunnels{Process: r.proc}
	return transport.NewTCP(transport.TCPConfig{Dial: tunnels.Dial, Listen: tunnels.Listen})
}
