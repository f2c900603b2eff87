package balance

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/ratelimit"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/internal/notify"
	"github.com/eastway/eastway/tunnel"
)

// ErrInconclusive is what a probe's error wraps when it means nothing for its target.
var ErrInconclusive = errors.New("inconclusive")

// Metrics counts what a Table does.
type Metrics interface {
	// Forgotten: a service left the catalog; its series end.
	Forgotten(service discovery.ServiceName)
	// Ejected: a target left rotation, again when it was out already and failed its probe.
	Ejected(service discovery.ServiceName, kind Failure, again bool)
	// Returned: a target is back in rotation, or gone.
	Returned(service discovery.ServiceName)
}

// Peers knows whether a peer can be used and how far it is.
type Peers interface {
	State(peer string) tunnel.PeerState
}

// Config is what a Table needs; all of it.
type Config struct {
	// Cluster is the name of the own one, Locality where this proxy is.
	Cluster  string
	Locality discovery.Locality
	Peers    Peers
	// Probe is nil when a candidate of the service port accepts connections; its error wraps ErrInconclusive when that could
	// not be tried.
	Probe   func(ctx context.Context, k Key, c Candidate) error
	Log     *zap.Logger
	Metrics Metrics
}

// Table remembers the health of everything in the catalog. It forgets what is no longer there; what stays keeps its
// state when policies change.
type Table struct {
	cfg    Config
	random random
	salt   uint64 // of this proxy
	// snapshot is the state that the table was brought in line with.
	snapshot atomic.Pointer[discovery.Snapshot]

	mu      sync.Mutex
	groups  map[Key]*group
	applied hashtrie.Map[discovery.ServiceName, *discovery.Service] // what groups are in line with

	dirtyMu sync.Mutex // held last
	dirty   map[*group]struct{}
	now     []*target // to be probed now, whatever their groups wait for
	wake    notify.Signal

	turnedNow []discovery.ServiceName // guarded by dirtyMu
	turns     notify.Signal
}

// NewTable makes an empty table.
func NewTable(cfg Config) *Table {
	return &Table{
		cfg: cfg,
		// Choices between endpoints are no secrets.
		random: random{intN: rand.IntN, float64: rand.Float64},
		salt:   rand.Uint64(),
		groups: make(map[Key]*group),
		dirty:  make(map[*group]struct{}),
		wake:   notify.NewSignal(),
		turns:  notify.NewSignal(),
	}
}

// Snapshot is the state that the table is in line with, nil before the first Apply.
func (tb *Table) Snapshot() *discovery.Snapshot { return tb.snapshot.Load() }

// Locate is where the caller at an address is; one that is not known is taken to be where the proxy is.
func (tb *Table) Locate(caller netip.Addr) discovery.Locality {
	if s := tb.snapshot.Load(); s != nil {
		if l, ok := s.Locate(caller); ok {
			return l
		}
	}
	return tb.cfg.Locality
}

// Limits are the rate limits of a service port, for all of its pods together; nil when the catalog has no such port.
func (tb *Table) Limits(k Key) *ratelimit.Limits {
	k.Pod = discovery.PodRef{}
	if g := tb.group(k); g != nil {
		return g.limits
	}
	return nil
}

// CheckPassed records that an endpoint passed its health check; answered: by more than accepting a connection.
func (tb *Table) CheckPassed(at discovery.EndpointRef, answered bool) {
	s := tb.snapshot.Load()
	if s == nil {
		return
	}
	svc := s.Services.Get(at.Service)
	if svc == nil {
		return
	}
	for k := range keysOf(svc) {
		if g := tb.group(k); g != nil && k.Port == at.Port {
			g.checked(Address{Endpoint: at.Address}, answered)
		}
	}
}

// replicas is how many proxies of the own cluster serve, this one included.
func (tb *Table) replicas() int {
	if s := tb.snapshot.Load(); s != nil {
		return max(s.Proxies, 1)
	}
	return 1
}

// Has is true when the catalog has the service port.
func (tb *Table) Has(k Key) bool { return tb.group(k) != nil }

// group is the one of that port, nil when the catalog has none.
func (tb *Table) group(k Key) *group {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	return tb.groups[k]
}

// Apply brings the table in line with a new state of the catalog.
func (tb *Table) Apply(s *discovery.Snapshot) {
	tb.applyServices(s)
	tb.snapshot.Store(s)
}

func (tb *Table) applyServices(s *discovery.Snapshot) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	for name := range hashtrie.Differing(tb.applied, s.Services) {
		old, svc := tb.applied.Get(name), s.Services.Get(name)
		if svc != nil {
			tb.applyService(old, svc)
			continue
		}
		for k := range keysOf(old) {
			tb.drop(k)
		}
		tb.cfg.Metrics.Forgotten(name)
	}
	tb.applied = s.Services
}

// applyService brings a service's groups in line; old is nil when it is new. tb.mu is held.
func (tb *Table) applyService(old, svc *discovery.Service) {
	policies, keys := make(map[uint16]policy), keysOf(svc)
	for k := range keys {
		p, ok := policies[k.Port]
		if !ok {
			p = policyOf(tb.cfg.Cluster, svc, k.Port)
			policies[k.Port] = p
		}
		g := tb.groups[k]
		if g == nil {
			g = newGroup(k, p, tb, tb.replicas)
			tb.groups[k] = g
		}
		g.apply(tb.cfg.Cluster, svc, p)
	}
	if old == nil {
		return
	}
	for k := range keysOf(old) {
		if !keys[k] {
			tb.drop(k)
		}
	}
}

func (tb *Table) drop(k Key) {
	if g := tb.groups[k]; g != nil {
		g.clear()
		delete(tb.groups, k)
	}
}

// Run sweeps groups when they are due, and probes, until ctx ends.
func (tb *Table) Run(ctx context.Context) error {
	// Peers that do not answer hold up neither sweeps nor the probes of own endpoints.
	var local, peers errgroup.Group
	local.SetLimit(maxProbes)
	peers.SetLimit(maxProbes)
	defer func() { _, _ = local.Wait(), peers.Wait() }()
	for {
		due, next := tb.sweep(time.Now())
		for _, t := range due {
			probes := &local
			if t.address.Peer != "" {
				probes = &peers
			}
			started := probes.TryGo(func() error {
				tb.probe(ctx, t)
				return nil
			})
			if !started {
				t.group.probed(t, false, true)
			}
		}
		var timer <-chan time.Time
		if !next.IsZero() {
			timer = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tb.wake:
		case <-timer:
		}
	}
}

func (tb *Table) sweep(now time.Time) (probes []*target, next time.Time) {
	tb.dirtyMu.Lock()
	probes, tb.now = tb.now, nil
	groups := make([]*group, 0, len(tb.dirty))
	for g := range tb.dirty {
		groups = append(groups, g)
		delete(tb.dirty, g) // a group that needs a sweep meanwhile puts itself back
	}
	tb.dirtyMu.Unlock()
	for _, g := range groups {
		due, at := g.sweep(now)
		probes = append(probes, due...)
		if at.IsZero() {
			continue
		}
		tb.dirtyMu.Lock()
		tb.dirty[g] = struct{}{}
		tb.dirtyMu.Unlock()
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return probes, next
}

func (tb *Table) probe(ctx context.Context, t *target) {
	c := probedAs(tb.snapshot.Load(), t)
	ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
	defer cancel()
	err := tb.cfg.Probe(ctx, t.group.key, c)
	t.group.probed(t, err == nil, errors.Is(err, ErrInconclusive))
}

// sweepAt implements events; the group's lock is held.
func (tb *Table) sweepAt(g *group) {
	tb.dirtyMu.Lock()
	tb.dirty[g] = struct{}{}
	tb.dirtyMu.Unlock()
	tb.wake.Notify()
}

// probeNow implements events; the group's lock is held.
func (tb *Table) probeNow(t *target) {
	tb.dirtyMu.Lock()
	tb.now = append(tb.now, t)
	tb.dirtyMu.Unlock()
	tb.wake.Notify()
}

// ejected implements events; the group's lock is held.
func (tb *Table) ejected(t *target, kind Failure, d time.Duration, again bool) {
	tb.cfg.Metrics.Ejected(t.group.key.Service, kind, again)
	tb.cfg.Log.Warn("endpoint ejected",
		zap.Stringer("service", t.group.key.Service), zap.Uint16("port", t.group.key.Port),
		zap.Stringer("endpoint", t.address), zap.Stringer("kind", kind), zap.Duration("for", d), zap.Int("times", t.ejections))
}

// returned implements events; the group's lock is held.
func (tb *Table) returned(t *target) {
	tb.cfg.Metrics.Returned(t.group.key.Service)
	tb.cfg.Log.Info("endpoint no longer ejected",
		zap.Stringer("service", t.group.key.Service), zap.Uint16("port", t.group.key.Port),
		zap.Stringer("endpoint", t.address), zap.Bool("gone", t.gone))
}
