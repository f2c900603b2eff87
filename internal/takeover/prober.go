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

// probeFunc asks one proxy. last is its answer before, or nil.
type probeFunc func(ctx context.Context, p *Proxy, last *Report) (*Report, error)

// prober asks all proxies again and again, each from a goroutine of its own.
type prober struct {
	probe   probeFunc
	log     *zap.Logger
	results *prometheus.CounterVec // result

	wake    notify.Signal // the targets changed
	turned  notify.Signal // calls have to go elsewhere than they may go now
	changed notify.Signal // some proxy listens for more, or for less

	mu      sync.Mutex
	targets map[netip.Addr]target
	health  map[netip.Addr]Health // of the targets that have answered or failed to
}

// target is a proxy to be probed every interval.
type target struct {
	proxy    Proxy
	interval time.Duration
}

func newProber(probe probeFunc, log *zap.Logger, results *prometheus.CounterVec) *prober {
	return &prober{
		probe: probe, log: log, results: results,
		wake: notify.NewSignal(), turned: notify.NewSignal(), changed: notify.NewSignal(),
		health: map[netip.Addr]Health{},
	}
}

// set says which proxies there are.
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
	maps.DeleteFunc(p.health, func(a netip.Addr, _ Health) bool {
		_, ok := next[a]
		return !ok
	})
	p.wake.Notify()
}

// snapshot is what is known now. settled: every proxy has answered, or failed to, at least once.
func (p *prober) snapshot() (health map[netip.Addr]Health, settled bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.health), len(p.health) == len(p.targets)
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

// watch probes one proxy.
func (p *prober) watch(ctx context.Context, t target) {
	var (
		last         *Report
		good, pauses int
		timer        = time.NewTimer(0)
	)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began := time.Now()
		probeCtx, cancel := context.WithTimeout(ctx, probeTimeout)
		report, err := p.probe(probeCtx, &t.proxy, last)
		cancel()
		if ctx.Err() != nil {
			return
		}
		took := time.Since(began)
		result := resultOf(err, took)
		p.results.WithLabelValues(result).Inc()
		if result == resultPaused && pauses < maxPauses {
			pauses++
			timer.Reset(0) // we were not running ourselves: ask again at once
			continue
		}
		pauses = 0
		if err == nil {
			good, last = good+1, report
		} else {
			good = 0
		}
		p.record(&t.proxy, report, err, good)
		timer.Reset(max(t.interval-took, minProbeGap))
	}
}

// record keeps the outcome of a probe; good is how many in a row have succeeded.
func (p *prober) record(proxy *Proxy, report *Report, err error, good int) {
	p.mu.Lock()
	before, known := p.health[proxy.Address]
	if _, ok := p.targets[proxy.Address]; !ok {
		p.mu.Unlock()
		return // it was taken out meanwhile
	}
	after := before
	switch {
	case err != nil:
		after.Alive = false
	case !known || before.Alive || good >= risingProbes:
		after = Health{Alive: true, Report: *report}
	}
	p.health[proxy.Address] = after
	p.mu.Unlock()

	fields := []zap.Field{zap.Stringer("proxy", proxy.Address), zap.String("pod", proxy.Pod), zap.String("node", proxy.Node)}
	switch {
	case after.Alive && !before.Alive:
		p.log.Info("proxy is alive", append(fields, zap.Int("listeners", len(after.Report.Listeners)))...)
	case !after.Alive && (before.Alive || !known):
		p.log.Warn("proxy does not answer", append(fields, zap.Error(err))...)
	case after.Report.equal(&before.Report):
		return
	case after.Report.Ready == before.Report.Ready && !after.Report.misleads(&before.Report):
		p.changed.Notify()
		return
	}
	p.turned.Notify()
}
