package failover

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/hashtrie"
)

// table remembers the health of everything in the catalog. What is no longer in the catalog is forgotten,
// what stays keeps its state when policies change.
type table struct {
	cluster string // our own
	log     *zap.Logger
	metrics *metrics
	// probe says whether t accepts connections; errInconclusive when that could not be tried.
	probe func(ctx context.Context, t *target) error

	mu      sync.Mutex
	groups  map[portKey]*group
	applied hashtrie.Map[discovery.ServiceName, *discovery.Service] // what groups are in line with

	dirtyMu sync.Mutex // held last
	dirty   map[*group]struct{}
	early   []*target // to be probed now, whatever their groups wait for
	wake    chan struct{}
}

func newTable(cluster string, log *zap.Logger, m *metrics) *table {
	return &table{
		cluster: cluster, log: log, metrics: m,
		groups: make(map[portKey]*group),
		dirty:  make(map[*group]struct{}),
		wake:   make(chan struct{}, 1),
	}
}

// group is the one of that port, nil when the catalog has none.
func (tb *table) group(k portKey) *group {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	return tb.groups[k]
}

// apply takes in a new state of the catalog.
func (tb *table) apply(s *discovery.Snapshot) {
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
		tb.metrics.forget(name)
	}
	tb.applied = s.Services
}

// applyService brings a service's groups in line; old is nil when it is new. tb.mu is held.
func (tb *table) applyService(old, svc *discovery.Service) {
	set, keys := settingsOf(svc.Policy), keysOf(svc)
	for k := range keys {
		g := tb.groups[k]
		if g == nil {
			g = newGroup(k, set, tb)
			tb.groups[k] = g
		}
		g.apply(tb.cluster, svc, set)
	}
	if old == nil {
		tb.metrics.know(svc.Name)
		return
	}
	for k := range keysOf(old) {
		if !keys[k] {
			tb.drop(k)
		}
	}
}

func (tb *table) drop(k portKey) {
	if g := tb.groups[k]; g != nil {
		g.clear()
		delete(tb.groups, k)
	}
}

// portsOf are the TCP ports of a service: its own, and those that only peers export.
func portsOf(svc *discovery.Service) map[uint16]bool {
	ports := make(map[uint16]bool)
	add := func(list []discovery.ServicePort) {
		for _, p := range list {
			if isTCP(p) {
				ports[p.Port] = true
			}
		}
	}
	add(svc.Ports)
	for i := range svc.Peers {
		add(svc.Peers[i].Ports)
	}
	return ports
}

// keysOf are the service's TCP ports, and those of single pods that are listened for.
func keysOf(svc *discovery.Service) map[portKey]bool {
	keys := make(map[portKey]bool)
	for port := range portsOf(svc) {
		keys[portKey{service: svc.Name, port: port}] = true
	}
	for _, l := range svc.Listeners {
		if k := (portKey{service: svc.Name, port: l.Port}); keys[k] {
			k.pod = l.Pod
			keys[k] = true
		}
	}
	return keys
}

func isTCP(p discovery.ServicePort) bool { return p.Protocol == discovery.TCP || p.Protocol == "" }

// apply brings the group's targets and settings in line with the catalog.
func (g *group) apply(own string, svc *discovery.Service, set settings) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.settings = set
	if soon := time.Now().Add(set.interval); !g.nextSweep.IsZero() && soon.Before(g.nextSweep) {
		g.nextSweep = soon
		g.events.sweepAt(g)
	}
	told := make(map[targetKey]standing, len(g.targets))
	best := standingOut
	tell := func(k targetKey, s standing) {
		told[k] = s
		best = max(best, s)
	}
	for i := range svc.Endpoints[g.key.port] {
		if e := &svc.Endpoints[g.key.port][i]; g.key.takes(own, e) {
			tell(targetKey{address: e.Address}, standingOf(e.Ready, e.Terminating))
		}
	}
	for i := range svc.Peers {
		if e := &svc.Peers[i]; g.key.takesPeer(e.Peer) {
			n, terminating := servingAt(e, g.key.port)
			tell(targetKey{peer: e.Peer}, standingOf(n > 0 && !terminating, terminating))
		}
	}
	for k, s := range told {
		t := g.targets[k]
		if t == nil {
			t = &target{key: k, group: g}
			g.targets[k] = t
		}
		if s == standingReady && t.standing != standingReady {
			g.retry(t)
		}
		t.standing, t.member = s, s == best && s != standingOut
	}
	for k, t := range g.targets {
		if _, ok := told[k]; !ok {
			g.drop(t)
		}
	}
}

func (g *group) drop(t *target) {
	t.gone = true
	delete(g.targets, t.key)
	if t.isEjected() {
		g.events.returned(t)
	}
}

func (g *group) clear() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range g.targets {
		g.drop(t)
	}
	g.nextSweep = time.Time{}
}

// run sweeps groups when they are due, and probes, until ctx ends.
func (tb *table) run(ctx context.Context) error {
	// Peers that do not answer hold up neither sweeps nor the probes of own endpoints.
	var local, peers errgroup.Group
	local.SetLimit(maxProbes)
	peers.SetLimit(maxProbes)
	defer func() { _, _ = local.Wait(), peers.Wait() }()
	for {
		due, next := tb.sweep(time.Now())
		for _, t := range due {
			probes := &local
			if t.key.peer != "" {
				probes = &peers
			}
			started := probes.TryGo(func() error {
				tb.probeOne(ctx, t)
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

func (tb *table) sweep(now time.Time) (probes []*target, next time.Time) {
	tb.dirtyMu.Lock()
	probes, tb.early = tb.early, nil
	groups := make([]*group, 0, len(tb.dirty))
	for g := range tb.dirty {
		groups = append(groups, g)
		delete(tb.dirty, g) // whoever needs a sweep meanwhile puts it back
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

func (tb *table) probeOne(ctx context.Context, t *target) {
	ctx, cancel := context.WithTimeout(ctx, t.group.policy().connectTimeout)
	defer cancel()
	err := tb.probe(ctx, t)
	t.group.probed(t, err == nil, isInconclusive(err))
}

// sweepAt implements events; the group's lock is held.
func (tb *table) sweepAt(g *group) {
	tb.dirtyMu.Lock()
	tb.dirty[g] = struct{}{}
	tb.dirtyMu.Unlock()
	tb.wakeUp()
}

// probeNow implements events; the group's lock is held.
func (tb *table) probeNow(t *target) {
	tb.dirtyMu.Lock()
	tb.early = append(tb.early, t)
	tb.dirtyMu.Unlock()
	tb.wakeUp()
}

func (tb *table) wakeUp() {
	select {
	case tb.wake <- struct{}{}:
	default:
	}
}

// ejected implements events; the group's lock is held.
func (tb *table) ejected(t *target, kind string, d time.Duration, again bool) {
	tb.metrics.ejected(t.group.key.service, kind, again)
	tb.log.Warn("endpoint ejected",
		zap.Stringer("service", t.group.key.service), zap.Uint16("port", t.group.key.port),
		zap.Stringer("endpoint", t.key), zap.String("kind", kind), zap.Duration("for", d), zap.Int("times", t.ejections))
}

// returned implements events; the group's lock is held.
func (tb *table) returned(t *target) {
	tb.metrics.returned(t.group.key.service)
	tb.log.Info("endpoint no longer ejected",
		zap.Stringer("service", t.group.key.service), zap.Uint16("port", t.group.key.port),
		zap.Stringer("endpoint", t.key), zap.Bool("gone", t.gone))
}
