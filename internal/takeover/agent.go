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

	"github.com/eastway/eastway/internal/pace"
	"github.com/eastway/eastway/internal/takeover/nft"
)

// Source tells what is in the cluster.
type Source interface {
	// Run follows the cluster until ctx ends.
	Run(ctx context.Context) error
	// Changed is signalled when Inventory may have something new to tell.
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
	// CheckAddress is a cluster IP and port for the packet check, which any data path knows and somebody answers:
	// the API server's. The zero value: no check.
	CheckAddress netip.AddrPort
	// Removed tells, when the agent ends, whether it ends for good; nil: it does not.
	Removed func(ctx context.Context) bool
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
	written   []nft.Service       // by the last transaction that succeeded
	complaint string              // the error told last

	mu     sync.Mutex
	status Status
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
	a.http = newHTTPProber(a.cfg.Env.dial)
	a.prober = newProber(a.http.probe, a.log, a.metrics.probes)
	if cfg.CheckAddress.IsValid() {
		if a.checker, err = newChecker(ctx, cfg.CheckAddress, &a.cfg.Env, a.log, a.metrics.bypassed); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Close lets go of what New bound, if Run is never called.
func (a *Agent) Close() error {
	if a.checker == nil {
		return nil
	}
	return a.checker.listener.Close()
}

// Run works until ctx ends. Then its entries are renewed once more, for a successor, or removed with the agent.
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

// loop decides and writes whenever something changed, and before entries time out. What costs as much as there are services is
// done so often only that most of the time is left, unless a proxy is lost or comes back.
func (a *Agent) loop(ctx context.Context, firstWritten func()) error {
	a.restore()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var (
		rules    []nft.Service
		known    bool         // there are rules
		news     bool         // the source has something to tell
		outdated = true       // rules are not what they would be now
		rest     time.Time    // when to look at either, unless it is urgent
		due      = time.Now() // when to write even though nothing changed
	)
	for {
		urgent := false
		select {
		case <-ctx.Done():
			if news {
				a.follow() // and store it, for a successor
			}
			return nil
		case <-a.cfg.Source.Changed():
			news = true
		case <-a.prober.turned:
			outdated, urgent = true, true
		case <-a.prober.changed:
			outdated = true
		case <-timer.C:
		}
		now := time.Now()
		a.mu.Lock()
		a.beat = now
		a.mu.Unlock()
		rested := !now.Before(rest)
		if news && rested {
			a.follow()
			news, outdated = false, true
		}
		decided := outdated && (rested || urgent)
		if decided {
			rules, known = a.decide()
			outdated = !known
		}
		written := known && (!now.Before(due) || decided && !a.says(rules))
		if written {
			due = now.Add(retryInterval)
			if a.write(rules) {
				due = now.Add(refreshInterval)
				firstWritten()
			}
		}
		if decided && rested { // what is urgent comes in between, and puts nothing off
			rest = restAfter(now)
		}
		if written && !pace.Sleep(ctx, minWriteGap) {
			return nil
		}
		next := due
		if !known {
			next = time.Now().Add(retryInterval)
		}
		if (news || outdated && known) && rest.Before(next) {
			next = rest
		}
		timer.Reset(time.Until(next))
	}
}

// restAfter is until when work rests that began at a moment and has ended now.
func restAfter(began time.Time) time.Time {
	end := time.Now()
	return end.Add(pace.Rest(end.Sub(began), workShare, maxRest))
}

// restore begins with the snapshot, until the API server answers.
func (a *Agent) restore() {
	inv, ok, err := a.keep.load()
	if err != nil {
		a.log.Warn("snapshot is not usable", zap.Error(err))
	}
	if !ok {
		return
	}
	a.inventory = &inv
	a.metrics.snapshot.Set(1)
	a.log.Info("beginning with the snapshot", zap.Int("services", len(inv.Services)), zap.Int("proxies", len(inv.Proxies)))
	a.prober.set(targetsOf(&inv, a.used))
}

// follow takes over what the source has new to tell.
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
	if inv.Omitted != (Omitted{}) && (a.inventory == nil || inv.Omitted != a.inventory.Omitted) {
		a.log.Warn("there is more than a node keeps: the rest of the Services is left to kube-proxy, the rest of the proxies gets no calls",
			zap.Int("services", inv.Omitted.Services), zap.Int("at_most_services", maxServices),
			zap.Int("proxies", inv.Omitted.Proxies), zap.Int("at_most_proxies", maxProxies))
	}
	a.inventory = &inv
	a.prober.set(targetsOf(&inv, a.used))
	if err := a.keep.store(&inv); err != nil {
		a.log.Warn("snapshot cannot be written: an agent that restarts while the API server is away will know nothing", zap.Error(err))
	}
}

// targetsOf gives each proxy its pace: those that are used, and the nearest ones, are probed often.
func targetsOf(inv *Inventory, used map[netip.Addr]bool) []target {
	near := slices.Clone(inv.Proxies)
	slices.SortFunc(near, func(x, y Proxy) int {
		return cmp.Or(cmp.Compare(inv.Self.distanceTo(x.Locality), inv.Self.distanceTo(y.Locality)),
			preference(inv.Self.Node, x.Address, y.Address))
	})
	out := make([]target, len(near))
	before := make(map[bool]int) // of IPv6, and of IPv4: each cluster IP leads to proxies of its own family
	for i, p := range near {
		out[i] = target{proxy: p, interval: probeInterval}
		if before[p.Address.Is6()] >= usedProxies && !used[p.Address] {
			out[i].interval = farInterval
		}
		before[p.Address.Is6()]++
	}
	return out
}

// decide makes the plan and its status. ok is false as long as it would be made without knowing enough: what a predecessor
// wrote stays until then.
func (a *Agent) decide() (rules []nft.Service, ok bool) {
	health, settled := a.prober.snapshot()
	if a.inventory == nil || a.written == nil && !settled {
		return nil, false
	}
	plan := Decide(a.inventory, health)
	a.used = plan.Used
	a.prober.set(targetsOf(a.inventory, a.used))
	a.metrics.planned(&plan)
	a.metrics.probed(a.inventory, health)
	a.mu.Lock()
	a.status.Services = plan.Services
	a.status.Proxies = proxyStatuses(a.inventory, health)
	a.status.Node = a.inventory.Self
	a.status.Omitted = a.inventory.Omitted
	a.mu.Unlock()
	return plan.Rules, true
}

// says tells whether the tables say that already.
func (a *Agent) says(rules []nft.Service) bool {
	return a.written != nil && slices.EqualFunc(a.written, rules, func(x, y nft.Service) bool { return x.Equal(&y) })
}

// write makes one transaction, and tells whether it succeeded.
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
		if a.complaint != err.Error() {
			a.complaint = err.Error()
			a.log.Error("cannot write the nftables tables", zap.Error(err))
		}
		return false
	}
	a.metrics.writes.WithLabelValues("ok").Inc()
	if a.complaint != "" || !a.says(rules) {
		a.log.Info("tables written", zap.Int("ports", len(rules)), zap.Duration("took", took))
	}
	a.complaint, a.status.Error, a.status.Written = "", "", began
	a.written = slices.Concat([]nft.Service{}, rules) // not nil, even if nothing is taken over
	return true
}

// leave ends the work on the tables; ctx has ended.
func (a *Agent) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removalTimeout)
	defer cancel()
	if a.cfg.Removed != nil && a.cfg.Removed(ctx) {
		if err := a.cfg.Tables.Delete(); err != nil {
			return err
		}
		a.log.Info("agent is removed, and its tables with it")
		return nil
	}
	if a.written != nil && a.write(a.written) {
		a.log.Info("tables stay for the next agent", zap.Duration("life", EntryLife), zap.Int("ports", len(a.written)))
	}
	return nil
}
