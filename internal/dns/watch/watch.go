package watch

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/discovery/external"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/notify"
	"github.com/eastway/eastway/internal/pace"
)

// StatusSource is a client of a proxy's admin listener.
type StatusSource interface {
	Status(ctx context.Context) (admin.Status, error)
}

// Config of a Watcher.
type Config struct {
	Board *Board
	// Proxy is one of the own cluster; nil: probes alone decide.
	Proxy StatusSource
	// Lookup finds the addresses of entries' names; nil: the system's.
	Lookup external.Lookup
	// AllowLoopback has loopback addresses of entries' names be used.
	AllowLoopback bool
}

// Watcher feeds a Board.
type Watcher struct {
	cfg     Config
	board   *Board
	changed notify.Signal
	// slots are for probes of what passes or has just failed, silent for what has failed for longer: many of these, which take their whole
	// timeout, do not keep the others waiting.
	slots, silent chan struct{}
	// probe is replaced by tests.
	probe func(ctx context.Context, t target) error
}

// New makes a Watcher.
func New(cfg Config) *Watcher {
	if cfg.Lookup == nil {
		cfg.Lookup = external.Resolve
	}
	return &Watcher{
		cfg: cfg, board: cfg.Board, changed: notify.NewSignal(), slots: make(chan struct{}, maxProbes), silent: make(chan struct{}, maxSilentProbes),
		probe: func(ctx context.Context, t target) error { return t.run(ctx) },
	}
}

// Changed has Run look at the names of the Board again.
func (w *Watcher) Changed() { w.changed.Notify() }

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if w.cfg.Proxy != nil {
		g.Go(func() error { w.poll(ctx); return nil })
	} else {
		w.board.noProxy(time.Now())
	}
	g.Go(func() error { w.follow(ctx); return nil })
	g.Go(func() error { w.tick(ctx); return nil })
	return g.Wait()
}

// Settle waits until there is a first result of everything, for some seconds at most.
func (w *Watcher) Settle(ctx context.Context) {
	const look = 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for !w.board.settled() && pace.Sleep(ctx, look) {
	}
}

func (w *Watcher) tick(ctx context.Context) {
	for pace.Sleep(ctx, pollInterval) {
		if w.board.tick(time.Now()) {
			w.Changed()
		}
	}
}

// follow keeps a goroutine for each address and each name that is to be watched.
func (w *Watcher) follow(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	probes, lookups := make(map[target]context.CancelFunc), make(map[query]context.CancelFunc)
	for {
		adjust(ctx, &wg, probes, w.board.targets(), w.probeLoop)
		adjust(ctx, &wg, lookups, w.board.queries(), w.lookupLoop)
		select {
		case <-ctx.Done():
			return
		case <-w.changed:
		}
	}
}

// adjust starts a loop for what is wanted and does not run, and ends the others.
func adjust[K comparable](
	ctx context.Context, wg *sync.WaitGroup, running map[K]context.CancelFunc, wanted map[K]bool, loop func(context.Context, K),
) {
	for k, cancel := range running {
		if !wanted[k] {
			cancel()
			delete(running, k)
		}
	}
	for k := range wanted {
		if running[k] == nil {
			own, cancel := context.WithCancel(ctx)
			running[k] = cancel
			wg.Go(func() { loop(own, k) })
		}
	}
}

func (w *Watcher) probeLoop(ctx context.Context, t target) {
	failures := 0
	for {
		slots := w.slots
		if failures >= t.probe.UnhealthyThreshold {
			slots = w.silent
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		err := w.probe(ctx, t)
		<-slots
		if ctx.Err() != nil {
			return
		}
		if failures++; err == nil || errors.Is(err, errLocal) {
			failures = 0
		}
		w.board.probed(time.Now(), t, err)
		// Several servers must not probe in step.
		if !pace.Sleep(ctx, pace.Spread(t.pause(failures), 0.9, 1, rand.Float64())) {
			return
		}
	}
}

func (w *Watcher) lookupLoop(ctx context.Context, q query) {
	failures := 0
	for {
		addrs, ttl, err := w.lookup(ctx, q)
		if ctx.Err() != nil {
			return
		}
		w.board.found(time.Now(), q, addrs, err)
		pause := min(max(ttl, minLookup), maxLookup)
		if failures++; len(addrs) == 0 {
			pause = pace.Spread(pace.Backoff(failures, retryMin, retryMax), 0.75, 1.25, rand.Float64())
		} else {
			failures = 0
			w.Changed()
		}
		if !pace.Sleep(ctx, pause) {
			return
		}
	}
}

func (w *Watcher) lookup(ctx context.Context, q query) ([]netip.Addr, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, ttl, err := w.cfg.Lookup(ctx, q.family, q.host)
	if err != nil {
		return nil, 0, err
	}
	return usable(found, w.cfg.AllowLoopback), ttl, nil
}

var (
	errNoQuery = errors.New("it was not queried yet")
	errNoProxy = errors.New("no proxy is queried: --proxy is empty")
)

// poll queries the proxy again and again.
func (w *Watcher) poll(ctx context.Context) {
	for {
		start := time.Now()
		s, err := w.cfg.Proxy.Status(ctx)
		if ctx.Err() != nil {
			return
		}
		now := time.Now()
		w.board.proxyAnswered(now, func(t *truth) { t.update(&s, err) })
		if !pace.Sleep(ctx, min(max(pollInterval, pollShare*now.Sub(start)), maxPollPause)) {
			return
		}
	}
}
