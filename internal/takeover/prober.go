package takeover

import (
	"context"
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/notify"
)

// probeFunc probes one proxy. last is its last report, or nil.
type probeFunc func(ctx context.Context, p *Proxy, last *Report) (*Report, error)

// prober probes all proxies periodically, each from its own goroutine.
type prober struct {
	probe   probeFunc
	log     *zap.Logger
	results *prometheus.CounterVec // result

	lateness *lateness

	wake    notify.Signal // the targets changed
	turned  notify.Signal // an urgent change
	changed notify.Signal // a gradual change

	mu      sync.Mutex
	targets map[netip.Addr]target
	vitals  map[netip.Addr]vitals // of targets that have been probed
}

// target is a proxy to be probed every interval.
type target struct {
	proxy    Proxy
	interval time.Duration
}

func newProber(probe probeFunc, log *zap.Logger, results *prometheus.CounterVec) *prober {
	return &prober{
		probe: probe, log: log, results: results, lateness: newLateness(time.Now()),
		wake: notify.NewSignal(), turned: notify.NewSignal(), changed: notify.NewSignal(),
		vitals: map[netip.Addr]vitals{},
	}
}

// set replaces the targets.
func (p *prober) set(targets []target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := make(map[netip.Addr]target, len(targets))
	for _, t := range targets {
		next[t.proxy.Address] = t
	}
	if maps.Equal(p.targets, next) {
		return
	}
	p.targets = next
	maps.DeleteFunc(p.vitals, func(a netip.Addr, _ vitals) bool {
		_, ok := next[a]
		return !ok
	})
	p.wake.Notify()
}

// snapshot is what is known now of the proxies that have been probed.
func (p *prober) snapshot() map[netip.Addr]Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	health := make(map[netip.Addr]Health, len(p.vitals))
	for a, v := range p.vitals {
		if v.probed {
			health[a] = v.Health
		}
	}
	return health
}

// run probes until ctx ends.
func (p *prober) run(ctx context.Context) error {
	type watch struct {
		target
		stop context.CancelFunc
	}
	watches := map[netip.Addr]watch{}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { p.lateness.run(ctx) })
	for {
		p.mu.Lock()
		targets := maps.Clone(p.targets)
		p.mu.Unlock()
		for a, w := range watches {
			if targets[a] != w.target { // gone, or another pod, or another pace
				w.stop()
				delete(watches, a)
			}
		}
		for a, t := range targets {
			if _, ok := watches[a]; ok {
				continue
			}
			watchCtx, stop := context.WithCancel(ctx)
			watches[a] = watch{t, stop}
			wg.Go(func() { p.watch(watchCtx, t) })
		}
		select {
		case <-ctx.Done():
			for _, w := range watches {
				w.stop()
			}
			return nil
		case <-p.wake:
		}
	}
}

// watch probes one proxy until ctx ends.
func (p *prober) watch(ctx context.Context, t target) {
	var last *Report
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began := time.Now()
		late := p.lateness.until(began)
		probeCtx, cancel := context.WithTimeout(ctx, probeTimeout)
		report, err := p.probe(probeCtx, &t.proxy, last)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			last = report
		}
		o := outcome{report: report, began: began, ended: time.Now()}
		took := o.ended.Sub(began)
		o.result = resultOf(err, took, p.lateness.until(o.ended)-late)
		p.results.WithLabelValues(o.result).Inc()
		wait := max(t.interval-took, minProbeGap)
		if !p.record(&t.proxy, &o, err) {
			wait = 0
		}
		timer.Reset(wait)
	}
}

// record judges a proxy by the outcome of a probe. It returns false if the probe has to be repeated at once.
func (p *prober) record(proxy *Proxy, o *outcome, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.targets[proxy.Address]; !ok {
		return true // it was taken out meanwhile
	}
	v := p.vitals[proxy.Address]
	before := v
	shows := v.observe(o)
	p.vitals[proxy.Address] = v
	if !shows {
		return false
	}
	if before.State != v.State || !before.probed {
		p.logState(proxy, &v, err)
	}
	switch changeOf(&before.Health, &v.Health) {
	case urgent:
		p.turned.Notify()
	case gradual:
		p.changed.Notify()
	case unchanged:
		if !before.probed {
			p.turned.Notify() // it was the last one that a first plan waits for
		}
	}
	return true
}

func (p *prober) logState(proxy *Proxy, v *vitals, err error) {
	log := p.log.With(zap.Stringer("proxy", proxy.Address), zap.String("pod", proxy.Pod), zap.String("node", proxy.Node))
	switch v.State {
	case Alive:
		log.Info("proxy is alive", zap.Int("listeners", len(v.Report.Listeners)))
	case Suspect:
		log.Warn("proxy does not answer: it gets only calls that no other proxy can serve", zap.Error(err))
	case Silent:
		log.Warn("proxy has not answered for long: it gets only calls that nothing else could answer", zap.Error(err))
	case Dead:
		log.Warn("proxy is dead", zap.Error(err))
	}
}
