package failover

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/drill"
	"github.com/eastway/eastway/failover/health"
	requests "github.com/eastway/eastway/failover/http"
	"github.com/eastway/eastway/failover/listen"
	"github.com/eastway/eastway/failover/originate"
	"github.com/eastway/eastway/failover/registry"
	"github.com/eastway/eastway/failover/slots"
	"github.com/eastway/eastway/failover/tcp"
	"github.com/eastway/eastway/internal/descriptors"
	"github.com/eastway/eastway/internal/relay"
	"github.com/eastway/eastway/internal/status"
)

// Proxy listens for the services of the catalog and serves peers.
type Proxy struct {
	cfg       Config
	gate      descriptors.Gate
	metrics   *metrics
	table     *balance.Table
	conns     *registry.Registry
	grants    grants
	listeners *listen.Listeners
	tcp       *tcp.Handler
	http      *requests.Handler
	health    *health.Checker
	origins   *originate.Origins
	refused   *refusals
	probes    probes
	drills    *drill.Drills
	slots     slots.Table
	// revision is that of the snapshot that all listeners were opened for.
	revision atomic.Uint64
	// seen are the peers that could be used when the listeners were last brought in line with that.
	seen  atomic.Pointer[usable]
	watch atomic.Pointer[relay.Watch] // nil unless Run runs on this host's network
}

// New makes a Proxy; it does nothing before Run.
func New(cfg Config) (*Proxy, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	log := cfg.Log.Named("failover")
	cfg.warn(log)
	p := &Proxy{cfg: cfg, gate: descriptors.NewGate(cfg.OpenFiles), metrics: m, conns: registry.New(), refused: newRefusals(m, log)}
	p.origins = originate.New(originate.Config{Identity: cfg.Identity, Failed: m.notSecured, Log: log})
	dialer := dial.New(dial.Config{
		Cluster: cfg.Cluster, Locality: cfg.Locality, Network: cfg.Network, Tunnels: cfg.Tunnels, Attempted: m.attempted,
		Forbidden: p.forbidden, Short: p.notDialed,
		Secure: p.origins.Client,
	})
	p.table = balance.NewTable(balance.Config{
		Cluster: cfg.Cluster, Locality: cfg.Locality, Peers: cfg.Tunnels, Probe: dialer.Probe, Log: log, Metrics: m,
	})
	if err := registerCapacities(cfg.Metrics, p.table); err != nil {
		return nil, err
	}
	p.health, err = health.New(health.Config{
		Catalog: cfg.Catalog, Dial: checkBy(dialer), Inconclusive: balance.ErrInconclusive, Passed: p.table.CheckPassed,
		Log: log, Metrics: cfg.Metrics,
	})
	if err != nil {
		return nil, err
	}
	p.drills = drill.New(drill.Config{Cluster: cfg.Cluster, Candidates: p.table.Candidates, Counted: m.drill, Log: log.Named("drill")})
	p.tcp = tcp.New(tcp.Config{
		Cluster: cfg.Cluster, Table: p.table, Dialer: dialer, Budget: cfg.ConnectBudget, Watch: p.watch.Load, Slots: &p.slots,
		LimitMet: p.refused.connection, Drills: p.drills,
	})
	p.http = requests.New(requests.Config{
		Cluster: cfg.Cluster, Started: cfg.Started, Log: log.Named("http"), Table: p.table, Dialer: dialer,
		Budget: cfg.ConnectBudget, Watch: p.watch.Load,
		MaxPerPeer: cfg.MaxStreamsPerPeer, Slots: &p.slots, Drills: p.drills,
		Finished: p.finishRequest, Refused: p.refused.request, OverBudget: p.refused.retry, LimitMet: p.refused.limit, Retried: m.retried,
	})
	p.listeners = listen.New(listen.Config{
		Log: log, Network: cfg.Network, Handler: applications{p}, Serves: p.serves, Short: p.notAccepted, Failed: m.listeners, Vacant: m.vacant,
	})
	return p, nil
}

// Drills are what operators have a part of the calls lose.
func (p *Proxy) Drills() *drill.Drills { return p.drills }

// Run listens and serves until ctx ends, then resets what is still in flight; call
// Drain first to let it finish. It returns when everything it started has ended. It is called once.
func (p *Proxy) Run(ctx context.Context) error {
	var watch *relay.Watch
	if _, ok := p.cfg.Network.(*host); ok {
		var err error
		if watch, err = relay.NewWatch(); err != nil {
			return fmt.Errorf("failover: %w", err)
		}
	}
	p.watch.Store(watch)
	p.conns.Refuse(nil)
	g, ctx := errgroup.WithContext(ctx)
	if watch != nil {
		g.Go(func() error { return watch.Run(ctx) })
	}
	g.Go(func() error { return p.table.Run(ctx) })
	g.Go(func() error { return p.origins.Run(ctx) })
	g.Go(func() error { return p.follow(ctx) })
	g.Go(func() error { return p.health.Run(ctx) })
	err := g.Wait()
	p.conns.Refuse(registry.ErrStopped)
	p.conns.Abort(registry.ErrStopped)
	<-p.conns.Idle()
	p.listeners.Wait()
	p.http.Close(ctx)
	return err
}

// follow keeps the table and the listeners in line with the catalog.
func (p *Proxy) follow(ctx context.Context) error {
	defer p.listeners.Close()
	look := time.NewTicker(peersLook)
	defer look.Stop()
	for {
		changed := p.cfg.Catalog.Changed()
		s := p.cfg.Catalog.Snapshot()
		p.origins.Apply(s)
		p.table.Apply(s)
		p.grants.apply(s)
		wait := p.listeners.Follow(ctx, s)
		if again, turned := p.review(ctx, s); turned {
			wait = again
		}
		p.revision.Store(s.Revision)
		for retry := after(wait); ; {
			select {
			case <-ctx.Done():
				return nil
			case <-retry:
				retry = after(p.listeners.Review(ctx))
				continue
			case <-p.table.Turned():
				retry = after(p.listeners.Review(ctx, p.table.TakeTurned()...))
				continue
			case <-look.C:
				if again, turned := p.review(ctx, s); turned {
					retry = after(again)
				}
				continue
			case <-changed:
			}
			break
		}
	}
}

// after is never for 0.
func after(d time.Duration) <-chan time.Time {
	if d <= 0 {
		return nil
	}
	return time.After(d)
}

// Drain stops accepting: its listeners are closed and peers are refused with
// "draining". It returns nil once every connection in flight has ended. When ctx ends before, the rest is reset, and
// the error has their number.
func (p *Proxy) Drain(ctx context.Context) error {
	p.conns.Refuse(registry.ErrDraining)
	p.listeners.Close()
	p.http.Drain(ctx)
	select {
	case <-p.conns.Idle():
		return nil
	case <-ctx.Done():
	}
	left := p.Active()
	p.conns.Abort(registry.ErrDraining)
	<-p.conns.Idle()
	if left == 0 {
		return nil
	}
	return fmt.Errorf("failover: drain: %d connections did not end in time and were reset: %w", left, context.Cause(ctx))
}

// Active is the number of connections in flight, from applications and from peers.
func (p *Proxy) Active() int { return p.conns.Len() }

// Revision is that of the catalog's snapshot that the listeners are in line with; 0 until the catalog has a source's first state.
func (p *Proxy) Revision() uint64 { return p.revision.Load() }

// Ready is nil while new connections are taken, else the reason why not.
func (p *Proxy) Ready() error {
	if p.table.Snapshot() == nil {
		return fmt.Errorf("failover: the catalog has not been read yet")
	}
	if err := p.conns.Refusing(); err != nil {
		return fmt.Errorf("failover: %w", err)
	}
	return nil
}

// Endpoints are the places behind a service, sorted by port, then nearest first for a caller in the proxy's own zone. It is
// nil when there is no such service.
func (p *Proxy) Endpoints(service discovery.ServiceName) []status.Endpoint {
	return p.table.Endpoints(service)
}

// ListenersRevision grows whenever Listening has something else to report.
func (p *Proxy) ListenersRevision() uint64 { return p.listeners.Revision() }

// Listening are all listeners that the catalog requests, sorted by address and service.
func (p *Proxy) Listening() []status.Listener { return p.listeners.Status() }

// NewAccessLog is a logger for Config.AccessLog that writes one JSON object per line to w.
func NewAccessLog(w zapcore.WriteSyncer) *zap.Logger { return access.NewLog(w) }
