package failover

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/relay"
)

// Proxy listens for the services of the catalog and serves peers.
type Proxy struct {
	cfg       Config
	metrics   *metrics
	table     *table
	conns     *registry
	listeners *listeners
	random    random
	network   Network
	// snapshot is the state that table and listeners were brought in line with.
	snapshot atomic.Pointer[discovery.Snapshot]
	// revision is that of the snapshot that all listeners were opened for.
	revision atomic.Uint64
	watch    atomic.Pointer[relay.Watch] // nil unless Run runs on this host's network
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
	p := &Proxy{
		cfg:     cfg,
		metrics: m,
		table:   newTable(cfg.Cluster, cfg.Log.Named("failover"), m),
		conns:   newRegistry(),
		// Choices between endpoints are no secrets.
		random:  random{intN: rand.IntN, float64: rand.Float64},
		network: cfg.Network,
	}
	p.table.probe = p.probe
	p.listeners = newListeners(cfg.Log.Named("failover"), p.metrics.listeners, cfg.Network, p.serveApp)
	return p, nil
}

// Run listens and serves until ctx ends, then resets what is still in flight; call
// Drain first to let it finish. It returns when everything it started has ended. It is called once.
func (p *Proxy) Run(ctx context.Context) error {
	var watch *relay.Watch
	if _, ok := p.network.(*host); ok {
		var err error
		if watch, err = relay.NewWatch(); err != nil {
			return fmt.Errorf("failover: %w", err)
		}
	}
	p.watch.Store(watch)
	p.conns.refuseNew(nil)
	g, ctx := errgroup.WithContext(ctx)
	if watch != nil {
		g.Go(func() error { return watch.Run(ctx) })
	}
	g.Go(func() error { return p.table.run(ctx) })
	g.Go(func() error { return p.follow(ctx) })
	err := g.Wait()
	p.conns.refuseNew(errStopped)
	p.conns.abort(errStopped)
	<-p.conns.idle()
	p.listeners.wg.Wait()
	return err
}

// follow keeps the table and the listeners in line with the catalog.
func (p *Proxy) follow(ctx context.Context) error {
	defer p.listeners.close()
	for {
		changed := p.cfg.Catalog.Changed()
		s := p.cfg.Catalog.Snapshot()
		p.table.apply(s)
		p.snapshot.Store(s)
		var retry <-chan time.Time
		if wait := p.listeners.follow(ctx, s); wait > 0 {
			retry = time.After(wait)
		}
		p.revision.Store(s.Revision)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-retry:
		}
	}
}

// Drain stops accepting: its listeners are closed and peers are refused with
// "draining". It returns nil once every connection in flight has ended. When ctx ends before, the rest is reset, and
// the error says how many those were.
func (p *Proxy) Drain(ctx context.Context) error {
	p.conns.refuseNew(errDraining)
	p.listeners.close()
	select {
	case <-p.conns.idle():
		return nil
	case <-ctx.Done():
	}
	left := p.Active()
	p.conns.abort(errDraining)
	<-p.conns.idle()
	if left == 0 {
		return nil
	}
	return fmt.Errorf("failover: drain: %d connections did not end in time and were reset: %w", left, context.Cause(ctx))
}

// Active is the number of connections in flight, from applications and from peers.
func (p *Proxy) Active() int {
	p.conns.mu.Lock()
	defer p.conns.mu.Unlock()
	return len(p.conns.conns)
}

// Revision is that of the catalog's snapshot that is listened for; 0 until a source of the catalog has spoken.
func (p *Proxy) Revision() uint64 { return p.revision.Load() }

// Ready is nil while new connections are taken; else it says why not.
func (p *Proxy) Ready() error {
	if p.snapshot.Load() == nil {
		return fmt.Errorf("failover: the catalog has not been read yet")
	}
	if err := p.conns.refusing(); err != nil {
		return fmt.Errorf("failover: %w", err)
	}
	return nil
}
