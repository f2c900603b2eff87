package drill

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
)

var (
	// ErrRunning means that a proxy has one run at a time.
	ErrRunning = errors.New("a drill is running")
	// ErrUnknown means that there is no such run, or it is long over.
	ErrUnknown = errors.New("no such drill")
)

// Why a run has ended.
const (
	endedByOperator = "the operator ended it"
	endedByLease    = "the operator was not heard from"
	endedByTime     = "its time is over"
	endedByBudget   = "its error budget is spent"
)

// Config is what a Drills needs.
type Config struct {
	// Cluster is the own one, which loses the service in a ServiceLoss whose scope names none.
	Cluster string
	// Candidates are where a call may go.
	Candidates func(balance.Key, balance.Caller) []balance.Candidate
	// Counted is called with each call of a run that has ended; nil: it is not.
	Counted func(failed bool)
	// Log says when a run begins and ends.
	Log *zap.Logger
}

// Drills is what a proxy has of drills: one run, or none. The zero value of *Drills, nil, never has one.
type Drills struct {
	cfg Config
	now *run
	// running is true while there may be a run: all other calls look at nothing more.
	running atomic.Bool
	mu      sync.Mutex
	random  func() float64
}

// New makes a Drills.
func New(cfg Config) *Drills {
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.Counted == nil {
		cfg.Counted = func(bool) {}
	}
	return &Drills{cfg: cfg, random: mathrand.Float64}
}

// run is one run, also after it has ended: its operator reads the report then.
type run struct {
	Report
	until, lease time.Time
	inFlight     int64
}

// Start begins a run. It ends by itself unless Renew is called within each Lease.
func (d *Drills) Start(spec Spec) (id string, err error) {
	if err := spec.Validate(); err != nil {
		return "", err
	}
	if spec.Kind == ServiceLoss && spec.Scope.Cluster == "" {
		spec.Scope.Cluster = d.cfg.Cluster
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.current(); r != nil {
		return "", fmt.Errorf("%w: %s %s, for %v more at most", ErrRunning, r.Spec.Kind, r.Spec.Scope, time.Until(r.until).Round(time.Second))
	}
	now := time.Now()
	spec.Callers = slices.Clone(spec.Callers)
	d.now = &run{Report: Report{ID: rand.Text(), Spec: spec, Started: now}, until: now.Add(spec.For), lease: now.Add(Lease)}
	d.running.Store(true)
	d.cfg.Log.Warn("a drill begins: a part of the calls fails on purpose", zap.String("drill", string(spec.Kind)), zap.Stringer("scope", spec.Scope),
		zap.Float64("percent", spec.Percent), zap.Duration("for", spec.For), zap.Int("error_budget", spec.Budget), zap.String("id", d.now.ID))
	return d.now.ID, nil
}

// Renew keeps a run going for another Lease, if it has not ended, and reports.
func (d *Drills) Renew(id string) (Report, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now == nil || d.now.ID != id {
		return Report{}, ErrUnknown
	}
	if r := d.current(); r != nil {
		r.lease = time.Now().Add(Lease)
	}
	return d.now.report(), nil
}

// Stop ends a run, and reports.
func (d *Drills) Stop(id string) (Report, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now == nil || d.now.ID != id {
		return Report{}, ErrUnknown
	}
	if r := d.current(); r != nil {
		d.end(endedByOperator)
	}
	return d.now.report(), nil
}

// Running reports on the run that goes on; false: there is none.
func (d *Drills) Running() (Report, bool) {
	if d == nil || !d.running.Load() {
		return Report{}, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.current()
	if r == nil {
		return Report{}, false
	}
	return r.report(), true
}

// Problems is a line for status about the run that goes on: calls fail because of it.
func (d *Drills) Problems() []string {
	r, on := d.Running()
	if !on {
		return nil
	}
	return []string{fmt.Sprintf("a drill is running: %s, %s, for %v %% of the calls: %d of %d have failed; it ends in %v at most",
		r.Spec.Kind, r.Spec.Scope, r.Spec.Percent, r.Calls.Failed, r.Calls.Ended, r.Left.Round(time.Second))}
}

// current is the run that goes on; nil: there is none. It ends one whose time is over. With mu held.
func (d *Drills) current() *run {
	r := d.now
	if r == nil || r.Ended != "" {
		return nil
	}
	switch now := time.Now(); {
	case now.After(r.until):
		d.end(endedByTime)
	case now.After(r.lease):
		d.end(endedByLease)
	default:
		return r
	}
	return nil
}

// end ends the run that goes on. With mu held.
func (d *Drills) end(why string) {
	r := d.now
	r.Ended, r.Elapsed = why, min(time.Since(r.Started), r.Spec.For)
	d.running.Store(false)
	d.cfg.Log.Info("a drill has ended", zap.String("why", why), zap.String("drill", string(r.Spec.Kind)), zap.Stringer("scope", r.Spec.Scope),
		zap.Duration("after", r.Elapsed), zap.Uint64("calls", r.Calls.Ended), zap.Uint64("affected", r.Affected),
		zap.Uint64("failed", r.Calls.Failed), zap.String("id", r.ID))
}

// report is a copy.
func (r *run) report() Report {
	out := r.Report
	if out.Ended == "" {
		out.Elapsed = time.Since(r.Started)
		out.Left = time.Until(r.until)
	}
	out.Calls, out.Others = r.Calls.clone(), r.Others.clone()
	out.Moves = slices.Clone(r.Moves)
	out.sort()
	return out
}

func (c *Calls) clone() Calls {
	out := *c
	out.Failures, out.Took.Counts = maps.Clone(c.Failures), slices.Clone(c.Took.Counts)
	return out
}

// Call is a call for the scope of a run; nil: there is no run.
type Call struct {
	drills *Drills
	run    *run
	spec   *Spec // of the run, which does not change
	// alone: it is not part of the run, which compares it with those that are.
	alone bool
	// from is where it would have gone; affected: that is in the scope.
	from     string
	affected bool
}

// Begin decides whether a call of an application is part of the run, and marks its entry, which is to finish it.
func (d *Drills) Begin(e *access.Entry, k balance.Key, from balance.Caller) *Call {
	if d == nil || !d.running.Load() || from.Remote {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.current()
	if r == nil || !r.Spec.Scope.ofCall(k) || !r.Spec.calls(from.Address) {
		return nil
	}
	c := &Call{drills: d, run: r, spec: &r.Spec, alone: d.random()*100 >= r.Spec.Percent}
	e.Drill = c
	if c.alone {
		return c
	}
	if all := d.cfg.Candidates(k, from); len(all) > 0 {
		c.from, c.affected = place(all[0].Cluster, all[0].Locality), r.Spec.Scope.has(&all[0])
	}
	if c.affected {
		r.inFlight++
		r.Peak = max(r.Peak, r.inFlight)
	}
	return c
}

// Keep is what the call may try: all that its run does not take away.
func (c *Call) Keep(all []balance.Candidate) []balance.Candidate {
	if c == nil || c.alone || c.spec.Kind == Latency || !c.drills.running.Load() {
		return all
	}
	return slices.DeleteFunc(all, func(one balance.Candidate) bool { return c.spec.Scope.has(&one) })
}

// Wait is the delay of a latency drill; it ends with ctx.
func (c *Call) Wait(ctx context.Context) {
	if c == nil || !c.affected || c.spec.Kind != Latency {
		return
	}
	timer := time.NewTimer(c.spec.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Name is that of the run which the call is part of; empty: of none.
func (c *Call) Name() string {
	if c.alone {
		return ""
	}
	return c.run.ID
}

// Finished counts the call.
func (c *Call) Finished(e *access.Entry) {
	d, r, now := c.drills, c.run, time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.affected {
		r.inFlight--
	}
	if r != d.now || d.current() == nil { // a call that ends later says nothing of the run
		return
	}
	if c.alone {
		r.Others.add(e, now)
		return
	}
	failed := r.Calls.add(e, now)
	d.cfg.Counted(failed)
	if c.affected {
		r.Affected++
		r.moved(c.from, c.to(e), 1)
	}
	if failed && r.Calls.Failed > uint64(r.Spec.Budget) {
		d.end(endedByBudget)
	}
}

// to is where the call went.
func (c *Call) to(e *access.Entry) string {
	if e.Cluster == "" {
		return "nowhere"
	}
	return place(e.Cluster, e.Locality)
}

func place(cluster string, at discovery.Locality) string { return cluster + " " + at.String() }
