package takeover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/internal/takeover/nft"
	"github.com/eastway/eastway/internal/takeover/report"
)

// Source follows the cluster.
type Source interface {
	// Run follows the cluster until ctx ends.
	Run(ctx context.Context) error
	// Changed is signaled when Inventory may have changed.
	Changed() <-chan struct{}
	// Inventory is what is known; ok is false while that is incomplete.
	Inventory() (inv Inventory, ok bool)
}

// Tables are the node's nftables tables.
type Tables interface {
	Apply(rules *nft.Ruleset) error
	Delete() error
}

// Config of an Agent.
type Config struct {
	Source Source
	Tables Tables
	// StateDir keeps the snapshot; "": none is kept.
	StateDir string
	// CheckAddress is a cluster IP and port for the packet check that every datapath knows and that is answered: the API
	// server's. The zero value: no check.
	CheckAddress netip.AddrPort
	// Removed is called when the agent ends: true if no other agent follows it. nil: one follows.
	Removed func(ctx context.Context) bool
	// Credentials prove what this agent is; nil: it reads what every client may.
	Credentials *Credentials
	// Env is the network to work in; the zero value is the process's own.
	Env        Env
	Log        *zap.Logger           // nil: none
	Registerer prometheus.Registerer // nil: none
}

// Validate names the first field that is wrong.
func (c *Config) Validate() error {
	switch {
	case c.Source == nil:
		return errors.New("takeover: Config.Source is missing")
	case c.Tables == nil:
		return errors.New("takeover: Config.Tables is missing")
	case c.Credentials != nil && (c.Credentials.TLS == nil || c.Credentials.Missing == nil):
		return errors.New("takeover: Config.Credentials needs TLS and Missing")
	case c.CheckAddress != (netip.AddrPort{}) && (c.CheckAddress.Port() == 0 || c.CheckAddress.Addr().Is4In6()):
		return fmt.Errorf("takeover: Config.CheckAddress %s is not an address and port", c.CheckAddress)
	}
	return nil
}

// Agent keeps the node's tables in line with the cluster.
type Agent struct {
	cfg     Config
	log     *zap.Logger
	metrics *metrics
	http    *httpProber
	prober  *prober
	checker *checker // nil: no check
	keep    snapshot

	// Of the main loop only.
	inventory *Inventory
	used      map[netip.Addr]bool // proxies in the last plan
	rules     []nft.Service       // of the last plan
	written   []nft.Service       // by the last transaction that succeeded; nil: none has
	lastError string              // the last one logged

	mu     sync.Mutex
	status report.Status
	beat   time.Time // the main loop's last turn
}

// New makes an agent, and binds the packet check's listener; Run does the rest.
func New(ctx context.Context, cfg Config) (*Agent, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &Agent{cfg: cfg, log: cfg.Log, keep: snapshot{dir: cfg.StateDir}, beat: time.Now()}
	if a.log == nil {
		a.log = zap.NewNop()
	}
	var err error
	if a.metrics, err = newMetrics(cfg.Registerer); err != nil {
		return nil, err
	}
	a.http = newHTTPProber(a.cfg.Env.dial, cfg.Credentials)
	a.prober = newProber(a.http.probe, a.log, a.metrics.probes)
	if cfg.CheckAddress.IsValid() {
		if a.checker, err = newChecker(ctx, cfg.CheckAddress, &a.cfg.Env, a.log, a.metrics.bypassed); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Close releases what New bound, if Run is never called.
func (a *Agent) Close() error {
	if a.checker == nil {
		return nil
	}
	return a.checker.listener.Close()
}

// Run works until ctx ends. Then it renews its entries once more, for a successor, or removes them.
func (a *Agent) Run(ctx context.Context) error {
	defer a.http.close()
	written := make(chan struct{}) // closed after the first transaction
	g, live := errgroup.WithContext(ctx)
	g.Go(func() error { return a.cfg.Source.Run(live) })
	g.Go(func() error { return a.prober.run(live) })
	if a.checker != nil {
		g.Go(func() error { return a.checker.run(live, written) })
	}
	g.Go(func() error { return a.loop(live, sync.OnceFunc(func() { close(written) })) })
	err := g.Wait()
	return errors.Join(err, a.leave(ctx))
}

// loop takes turns as the pacer decides, until ctx ends.
func (a *Agent) loop(ctx context.Context, firstWritten func()) error {
	a.restore()
	p := newPacer(time.Now())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			if p.unread {
				a.follow() // and store it, for a successor
			}
			return nil
		case <-a.cfg.Source.Changed():
			p.unread = true
		case <-a.prober.turned:
			p.outdated, p.urgent = true, true
		case <-a.prober.changed:
			p.outdated = true
		case <-timer.C:
		}
		a.turn(&p, firstWritten)
		timer.Reset(time.Until(p.next(time.Now())))
	}
}

// turn does what is due now.
func (a *Agent) turn(p *pacer, firstWritten func()) {
	began := time.Now()
	a.mu.Lock()
	a.beat = began
	a.mu.Unlock()
	w := p.turn(began)
	if w.read {
		a.follow()
	}
	if w.plan {
		known := a.plan()
		p.planned(known, known && !a.upToDate())
	}
	if p.mustWrite(began) {
		ok := a.write(a.rules)
		p.wrote(began, time.Now(), ok)
		if ok {
			firstWritten()
		}
	}
	p.finished(began, time.Now())
}

// restore starts from the snapshot, until the API server answers.
func (a *Agent) restore() {
	inv, ok, err := a.keep.load()
	if err != nil {
		a.log.Warn("cannot use the snapshot", zap.Error(err))
	}
	if !ok {
		return
	}
	a.inventory = &inv
	a.metrics.snapshot.Set(1)
	a.log.Info("starting from the snapshot", zap.Int("services", len(inv.Services)), zap.Int("proxies", len(inv.Proxies)))
	a.prober.set(targetsOf(&inv, a.used))
}

// follow reads the source, and keeps what is new.
func (a *Agent) follow() {
	inv, ok := a.cfg.Source.Inventory()
	if !ok {
		return
	}
	inv.bound()
	a.metrics.snapshot.Set(0)
	if a.inventory != nil && reflect.DeepEqual(inv, *a.inventory) {
		return
	}
	if inv.Omitted != (report.Omitted{}) && (a.inventory == nil || inv.Omitted != a.inventory.Omitted) {
		a.log.Warn("the cluster exceeds the limits of a node: kube-proxy serves the other Services, and the other proxies get no calls",
			zap.Int("services", inv.Omitted.Services), zap.Int("at_most_services", maxServices),
			zap.Int("proxies", inv.Omitted.Proxies), zap.Int("at_most_proxies", maxProxies))
	}
	a.inventory = &inv
	a.prober.set(targetsOf(&inv, a.used))
	if err := a.keep.store(&inv); err != nil {
		a.log.Warn("cannot write the snapshot: an agent that restarts while the API server is away will have no state", zap.Error(err))
	}
}

// targetsOf sets how often each proxy is probed: the used and the nearest ones often.
func targetsOf(inv *Inventory, used map[netip.Addr]bool) []target {
	near := slices.Clone(inv.Proxies)
	slices.SortFunc(near, func(x, y Proxy) int {
		return cmp.Or(cmp.Compare(distanceOf(&inv.Self, &x.Locality), distanceOf(&inv.Self, &y.Locality)),
			preference(inv.Self.Node, x.Address, y.Address))
	})
	out := make([]target, len(near))
	before := make(map[bool]int) // of IPv6 and of IPv4: proxies of its own family serve a cluster IP
	for i, p := range near {
		out[i] = target{proxy: p, interval: probeInterval}
		if before[p.Address.Is6()] >= usedProxies && !used[p.Address] {
			out[i].interval = farInterval
		}
		before[p.Address.Is6()]++
	}
	return out
}

// plan makes the rules and their status. It returns false as long as too little is known to replace what a predecessor wrote.
func (a *Agent) plan() bool {
	health := a.prober.snapshot()
	if a.inventory == nil || a.written == nil && !conclusive(health, len(a.inventory.Proxies)) {
		return false
	}
	plan := Decide(a.inventory, health)
	a.used, a.rules = plan.Used, plan.Rules
	a.prober.set(targetsOf(a.inventory, a.used))
	a.metrics.planned(&plan)
	a.metrics.probed(a.inventory, health)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status.Services = plan.Services
	a.status.Proxies = proxyStatuses(a.inventory, health)
	a.status.Node = a.inventory.Self
	a.status.Omitted = a.inventory.Omitted
	return true
}

// upToDate is true if the tables hold the rules already.
func (a *Agent) upToDate() bool {
	return a.written != nil && slices.EqualFunc(a.written, a.rules, func(x, y nft.Service) bool { return x.Equal(&y) })
}

// write makes one transaction. It returns true if that succeeded.
func (a *Agent) write(rules []nft.Service) bool {
	began := time.Now()
	err := a.cfg.Tables.Apply(&nft.Ruleset{Services: rules, Check: a.checker.rule()})
	took := time.Since(began)
	a.metrics.seconds.Observe(took.Seconds())
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.metrics.writes.WithLabelValues("failed").Inc()
		a.status.Error = err.Error()
		if a.lastError != err.Error() {
			a.lastError = err.Error()
			a.log.Error("cannot write the nftables tables", zap.Error(err))
		}
		return false
	}
	a.metrics.writes.WithLabelValues("ok").Inc()
	if a.lastError != "" || !a.upToDate() {
		a.log.Info("tables written", zap.Int("ports", len(rules)), zap.Duration("took", took))
	}
	a.lastError, a.status.Error, a.status.Written = "", "", began
	a.written = slices.Concat([]nft.Service{}, rules) // not nil, even if nothing is taken over
	return true
}

// leave writes the tables a last time for a successor, or deletes them; ctx has ended.
func (a *Agent) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removalTimeout)
	defer cancel()
	if a.cfg.Removed != nil && a.cfg.Removed(ctx) {
		if err := a.cfg.Tables.Delete(); err != nil {
			return err
		}
		a.log.Info("agent and tables removed")
		return nil
	}
	if a.written != nil && a.write(a.written) {
		a.log.Info("tables left for the next agent", zap.Duration("life", EntryLife), zap.Int("ports", len(a.written)))
	}
	return nil
}
