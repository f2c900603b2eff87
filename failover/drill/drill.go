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
	EndedByOperator = "the operator ended it"
	EndedByLease    = "the operator was not heard from"
	EndedByTime     = "its time is over"
	EndedByBudget   = "its error budget is spent"
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
	// on is the run that goes on, as far as is known; nil: there is none, and calls look at nothing more.
	on     atomic.Pointer[run]
	random func() float64

	mu sync.Mutex
	// last is the newest run, also when it has ended: its operator reads the report then.
	last *run
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

// run is one run. What it reports is guarded by Drills.mu; its Spec does not change.
type run struct {
	Report
	until, lease time.Time
	// over is closed at its end, so that no call waits on.
	over chan struct{}
	// underWay are the affected calls that have not ended.
	underWay int64
	// area is the sum of the times that affected calls were under way, until area was measured last.
	area     time.Duration
	measured time.Time
}

// Start begins a run. It ends by itself unless Renew is called within each Lease.
func (d *Drills) Start(spec Spec) (id string, err error) {
	if err := spec.Validate(); err != nil {
		return "", err
	}
	if spec.Kind == ServiceLoss && spec.Scope.Cluster == "" {
		spec.Scope.Cluster = d.cfg.Cluster
	}
	if at := spec.Scope.Cluster; spec.Scope.Zone != "" && at != "" && at != d.cfg.Cluster {
		return "", fmt.Errorf("scope: zone %q of cluster %q, which is a peer of %q: run the drill there, or name the region",
			spec.Scope.Zone, at, d.cfg.Cluster)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.current(); r != nil {
		return "", fmt.Errorf("%w: %s %s, for %v more at most", ErrRunning, r.Spec.Kind, r.Spec.Scope, time.Until(r.until).Round(time.Second))
	}
	now := time.Now()
	spec.Callers = slices.Clone(spec.Callers)
	r := &run{
		Report: Report{ID: rand.Text(), Spec: spec, Started: now}, until: now.Add(spec.For), lease: now.Add(Lease),
		over: make(chan struct{}), measured: now,
	}
	d.last = r
	d.on.Store(r)
	d.cfg.Log.Warn("a drill begins: a part of the calls fails on purpose", zap.String("drill", string(spec.Kind)), zap.Stringer("scope", spec.Scope),
		zap.Float64("percent", spec.Percent), zap.Duration("for", spec.For), zap.Int("error_budget", spec.Budget), zap.String("id", r.ID))
	return r.ID, nil
}

// Renew keeps a run going for another Lease, if it has not ended, and reports.
func (d *Drills) Renew(id string) (Report, error) {
	return d.with(id, func(r *run) { r.lease = time.Now().Add(Lease) })
}

// Stop ends a run, and reports.
func (d *Drills) Stop(id string) (Report, error) {
	return d.with(id, func(*run) { d.end(EndedByOperator) })
}

// with does something with a run that goes on, and reports also on one that has ended.
func (d *Drills) with(id string, do func(*run)) (Report, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last == nil || d.last.ID != id {
		return Report{}, ErrUnknown
	}
	if r := d.current(); r != nil {
		do(r)
	}
	return d.last.report(), nil
}

// Running reports on the run that goes on; false: there is none.
func (d *Drills) Running() (Report, bool) {
	if d == nil || d.on.Load() == nil {
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
	return []string{fmt.Sprintf("a drill is running: %s, %s, for %v %% of the calls: %d of %d affected ones have failed; it ends in %v at most",
		r.Spec.Kind, r.Spec.Scope, r.Spec.Percent, r.Affected.Failed, r.Affected.Total, r.Left.Round(time.Second))}
}

// current is the run that goes on; nil: there is none. It ends one whose time is over. With mu held.
func (d *Drills) current() *run {
	r := d.on.Load()
	if r == nil {
		return nil
	}
	switch now := time.Now(); {
	case now.After(r.until):
		d.end(EndedByTime)
	case now.After(r.lease):
		d.end(EndedByLease)
	default:
		return r
	}
	return nil
}

// end ends the run that goes on. With mu held.
func (d *Drills) end(why string) {
	r := d.on.Swap(nil)
	r.measure(0)
	r.Ended, r.Elapsed = why, min(time.Since(r.Started), r.Spec.For)
	close(r.over)
	d.cfg.Log.Info("a drill has ended", zap.String("why", why), zap.String("drill", string(r.Spec.Kind)), zap.Stringer("scope", r.Spec.Scope),
		zap.Duration("after", r.Elapsed), zap.Uint64("affected", r.Affected.Total), zap.Uint64("failed", r.Affected.Failed),
		zap.Int64("pending", r.Pending), zap.String("id", r.ID))
}

// report is a copy.
func (r *run) report() Report {
	r.measure(0)
	out := r.Report
	if out.Ended == "" {
		out.Elapsed = time.Since(r.Started)
		out.Left = time.Until(r.until)
	}
	if out.Elapsed > 0 {
		out.Mean = float64(r.area) / float64(out.Elapsed)
	}
	out.Affected, out.Beside, out.Others = r.Affected.clone(), r.Beside.clone(), r.Others.clone()
	out.Moves = slices.Clone(r.Moves)
	out.sort()
	return out
}

// measure adds to the affected calls that are under way. What happens after the end says nothing of the run.
func (r *run) measure(n int64) {
	if now := time.Now(); r.Ended == "" {
		r.area += time.Duration(r.underWay) * now.Sub(r.measured)
		r.measured = now
	}
	r.underWay += n
	r.Peak = max(r.Peak, r.underWay)
}

// hasRoom is true while a further call may be affected: with those whose result is not known all might fail.
func (r *run) hasRoom() bool {
	return r.Affected.Failed+uint64(max(r.Pending, 0)) < uint64(r.Spec.Budget)+maxPending
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
	// alone: it is not part of the run, which compares it with those that are.
	alone bool
	// from is where it would have gone; affected: that is in the scope.
	from     string
	affected bool
	// missed: it had fewer places left than without the run.
	missed bool
	// accepted: it is counted already.
	accepted bool
}

// Begin decides whether a call of an application is part of the run, and marks its entry, which is to finish it.
func (d *Drills) Begin(e *access.Entry, k balance.Key, from balance.Caller) *Call {
	if d == nil || from.Remote {
		return nil
	}
	r := d.on.Load()
	if r == nil || !r.Spec.Scope.ofCall(k) || !r.Spec.calls(from.Address) {
		return nil
	}
	c := &Call{drills: d, run: r, alone: d.random()*100 >= r.Spec.Percent}
	if !c.alone { // before the lock, which all calls share
		if all := d.cfg.Candidates(k, from); len(all) > 0 {
			c.from, c.affected = place(all[0].Cluster, all[0].Locality), r.Spec.Scope.has(&all[0])
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current() != r {
		return nil
	}
	e.Drill = c
	switch {
	case !c.affected:
	case !r.hasRoom():
		c.alone, c.affected = true, false
		r.Spared++
	default:
		r.Pending++
		r.measure(1)
	}
	return c
}

// on is true while the run of the call goes on.
func (c *Call) on() bool { return c.drills.on.Load() == c.run }

// Filter is for balance.Caller: it keeps what the run does not take away. nil: all.
func (c *Call) Filter() func(*balance.Candidate) bool {
	if c == nil || c.alone || c.run.Spec.Kind == Latency || !c.on() {
		return nil
	}
	return func(one *balance.Candidate) bool {
		lost := c.run.Spec.Scope.has(one)
		c.missed = c.missed || lost
		return !lost
	}
}

// Wait is the delay of a latency drill; it ends with ctx, and with the run.
func (c *Call) Wait(ctx context.Context) {
	if c == nil || !c.affected || c.run.Spec.Kind != Latency {
		return
	}
	for left := c.run.Spec.Delay; left > 0 && c.goesOn(); {
		wait := min(left, leaseCheck) // a lease that ends has no other clock
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			left -= wait
			continue
		case <-c.run.over:
		case <-ctx.Done():
		}
		timer.Stop()
		return
	}
}

// goesOn ends a run whose time is over.
func (c *Call) goesOn() bool {
	c.drills.mu.Lock()
	defer c.drills.mu.Unlock()
	return c.drills.current() == c.run
}

// Name is that of the run which the call is part of; empty: of none.
func (c *Call) Name() string {
	if c.alone {
		return ""
	}
	return c.run.ID
}

// Accepted counts a call that an endpoint has taken. It may last for days, and also fail yet.
func (c *Call) Accepted(e *access.Entry) {
	c.drills.mu.Lock()
	defer c.drills.mu.Unlock()
	c.accept(e)
}

// accept counts a call once. With mu held.
func (c *Call) accept(e *access.Entry) {
	if c.accepted {
		return
	}
	c.accepted = true
	c.calls().add(e)
	if c.affected {
		c.run.Pending--
		c.run.moved(c.from, c.to(e), 1)
	}
}

// calls are those that it belongs to.
func (c *Call) calls() *Calls {
	switch {
	case c.alone:
		return &c.run.Others
	case c.affected:
		return &c.run.Affected
	default:
		return &c.run.Beside
	}
}

// Finished counts the call, or its failure, also after the end of the run.
func (c *Call) Finished(e *access.Entry) {
	d, r := c.drills, c.run
	d.mu.Lock()
	defer d.mu.Unlock()
	failed := hasFailed(e)
	if c.affected {
		r.measure(-1)
	} else if failed && c.missed && !c.accepted && e.Result == access.NoEndpoint { // what the run took away might have served it
		c.affected = true
		r.Pending++ // until it is counted, which is now
	}
	c.accept(e)
	if failed {
		c.calls().fail(e)
	}
	if c.alone {
		return
	}
	d.cfg.Counted(failed)
	if d.current() == r && r.Affected.Failed > uint64(r.Spec.Budget) {
		d.end(EndedByBudget)
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
