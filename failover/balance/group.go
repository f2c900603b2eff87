package balance

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/eastway/eastway/failover/capacity"
	"github.com/eastway/eastway/failover/ratelimit"
)

// group is all targets of one service port.
type group struct {
	key    Key
	events events
	limits *ratelimit.Limits // see Table.Limits
	// replicas is how many proxies of the own cluster share what endpoints can take.
	replicas func() int

	mu        sync.Mutex
	policy    policy
	targets   map[Address]*target
	left      map[Address]*atomic.Int64 // what places that are gone had in flight, while there is some
	nextSweep time.Time                 // zero: nothing to sweep
	// panic: too few members are neither ejected nor unhealthy for the policy's minHealthPercent, so that neither decides anything.
	panic bool
	// vacancy is confirmed by probes of all targets, which are not repeated before probeAll.
	vacancy  vacancy
	probeAll time.Time
	// spilled counts calls that a nearer level had no room for.
	spilled atomic.Uint64
}

// events is what a group reports, with its lock held; the table implements it.
type events interface {
	// ejected reports that t is ejected for d, again when it was ejected before and failed its probe.
	ejected(t *target, kind Failure, d time.Duration, again bool)
	// returned reports that t is no longer ejected.
	returned(t *target)
	// sweepAt wants the group swept at its nextSweep.
	sweepAt(g *group)
	// probeNow wants t probed without waiting for a sweep.
	probeNow(t *target)
	// turned reports that the port has become vacant, or is not any more.
	turned(g *group)
}

func newGroup(key Key, p policy, e events, replicas func() int) *group {
	g := &group{key: key, events: e, policy: p, limits: ratelimit.New(replicas), replicas: replicas}
	g.limits.Set(p.rateLimit)
	return g
}

// policyNow is a copy of the group's policy.
func (g *group) policyNow() policy {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.policy
}

// Health is a target's outlier check at one moment.
type Health struct {
	State State
	// Left is the rest of the ejection.
	Left time.Duration
	// Kind is why it was ejected, NoFailure once it is OK.
	Kind Failure
	// share is the part of its usual connections that it gets.
	share           float64
	round, refusing float64
	proven          int
	// last: it is tried only when all else failed: ejected, unhealthy or held. ejected: because of its ejection.
	last, ejected bool
	level         capacity.Level
}

func (g *group) health(a Address, now time.Time) (*target, Health) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.targets[a]
	if t == nil {
		return nil, Health{share: 1}
	}
	h := Health{
		State: t.state, share: 1, round: t.round, refusing: t.refusals.now(now), proven: int(t.proven), ejected: t.isEjected() && !g.panic,
		level: t.room.At(now, float64(t.active.Load())),
	}
	h.last = h.ejected || t.unhealthy && !g.panic || now.Before(t.heldUntil)
	switch t.state {
	case Ejected:
		h.Left = max(t.until.Sub(now), 0)
	case Ramping:
		h.share = min(rampStart+(1-rampStart)*float64(now.Sub(t.rampFrom))/float64(rampTime), 1)
		if h.share == 1 {
			h.State = OK
		}
	case OK, Probing:
	}
	if !t.readyAt.IsZero() {
		h.share = min(h.share, g.policy.warmup.share(now.Sub(t.readyAt)))
	}
	if h.State != OK {
		h.Kind = t.kind
	}
	return t, h
}

// connected records that t accepted a connection. One that was ejected for failed connects, and was tried as last resort, has
// passed its probe by that.
func (g *group) connected(t *target) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.record.connected()
	t.prove()
	g.reached(t)
	if t.isEjected() && !t.gone && !t.byAnswers {
		g.ramp(t)
	}
}

// answered records the status of an answer. Without an error it brings back a target that was ejected for its answers and was tried
// as last resort.
func (g *group) answered(t *target, status int, lastResort bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.policy.judge(status); f != NoFailure {
		g.count(t, f, true)
		return
	}
	switch {
	case !t.isEjected():
		t.record.answered()
		t.prove()
		g.observe(t, false)
	case lastResort && t.byAnswers && !t.gone:
		g.ramp(t)
	}
}

// failed records that t did not accept a connection.
func (g *group) failed(t *target, kind Failure) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count(t, kind, false)
}

// failedRequest records a failure of a request.
func (g *group) failedRequest(t *target, kind Failure) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count(t, g.policy.ofRequest(kind), true)
}

// count counts a failure, and ejects t when a threshold is reached. While t is ejected nothing counts.
func (g *group) count(t *target, kind Failure, request bool) {
	if t.gone || t.isEjected() {
		return
	}
	if kind == ServerError || kind == GatewayError {
		g.observe(t, true)
	}
	before := t.record
	detected := t.record.failed(kind, &g.policy.thresholds, t.state == Ramping, request)
	if t.record != before || detected != NoFailure { // what is off counts nothing and needs no sweep
		g.sweepSoon()
	}
	if detected != NoFailure && g.mayEject() {
		g.eject(t, detected)
	}
}

// observe adds an answer to the window that the next sweep judges.
func (g *group) observe(t *target, isError bool) {
	if g.policy.failurePercentage == 0 {
		return
	}
	t.window = t.window.with(isError)
	g.sweepSoon()
}

// judgeWindows ejects what failed too often since the last sweep.
func (g *group) judgeWindows() {
	targets, windows := make([]*target, 0, len(g.targets)), make([]window, 0, len(g.targets))
	for _, t := range g.targets {
		targets, windows = append(targets, t), append(windows, t.window)
		t.window = window{}
	}
	for _, i := range failing(windows, g.policy.failurePercentage) {
		if g.mayEject() {
			g.eject(targets[i], failurePercentage)
		}
	}
}

// served counts a connection of ROUND_ROBIN. A target that is further behind than that begins there, so that one that is new, or was
// away, does not get all connections until it has had as many as the others.
func (g *group) served(t *target, its turn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.round = its.after(t.round)
}

// took records whether t refused a request.
func (g *group) took(t *target, refused bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if refused || t.refusals.share > 0 {
		t.refusals = t.refusals.with(refused, time.Now())
	}
}

// hold keeps connections away from t for a while, as t requested; full: those that it has no room for.
func (g *group) hold(t *target, d time.Duration, full bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if d, now := min(d, maxHold), time.Now(); !full || !t.refuse(d, now) {
		t.heldUntil = now.Add(d)
	}
}

// mayEject keeps the share of ejected targets within the policy, and one always out of ejection.
func (g *group) mayEject() bool {
	members, ejected, _ := g.members()
	ejected++
	return ejected < members && ejected*100 <= g.policy.maxPercent*members
}

// members is the denominator of maxEjectionPercent and minHealthPercent, and how many of it are ejected, and how many neither ejected nor
// unhealthy.
func (g *group) members() (members, ejected, good int) {
	for _, t := range g.targets {
		if !t.member {
			continue
		}
		members++
		switch {
		case t.isEjected():
			ejected++
		case !t.unhealthy:
			good++
		}
	}
	return members, ejected, good
}

// weigh sets panic; it is called after each change of the members or of what is ejected or unhealthy.
func (g *group) weigh() {
	if g.policy.minHealthPercent == 0 {
		g.panic = false
		return
	}
	members, _, good := g.members()
	g.panic = good*100 < g.policy.minHealthPercent*members
}

func (g *group) eject(t *target, kind Failure) {
	again := t.isEjected()
	t.ejections++
	d := min(g.policy.baseEjection*time.Duration(t.ejections), g.policy.maxEjection)
	t.record, t.window, t.kind, t.proven = record{}, window{}, kind, 0
	t.byAnswers = kind.isAnswer() || again && t.byAnswers
	t.state, t.lenient, t.tried, t.until = Ejected, false, time.Now(), time.Now().Add(d)
	g.weigh()
	g.sweepSoon()
	g.events.ejected(t, kind, d, again)
}

func (g *group) ramp(t *target) {
	t.state, t.rampFrom = Ramping, time.Now()
	g.weigh()
	g.sweepSoon()
	g.events.returned(t)
}

// retry probes an ejected target as soon as it becomes ready again, at most once per interval: what failed was not ready, or
// is not what is ready now, and a peer can report readiness as often as it likes.
func (g *group) retry(t *target) {
	switch soonest := t.tried.Add(g.policy.interval); {
	case t.state == Probing:
		t.lenient = true
	case t.state != Ejected:
	case time.Now().Before(soonest):
		if soonest.Before(t.until) {
			t.lenient, t.until = true, soonest
		}
	default:
		t.lenient, t.state = true, Probing
		g.events.probeNow(t)
	}
}

// sweepSoon requests a sweep after the interval, unless one is due already.
func (g *group) sweepSoon() {
	if g.nextSweep.IsZero() {
		g.nextSweep = time.Now().Add(g.policy.interval)
		g.events.sweepAt(g)
	}
}

// sweep ends ramps, forgets past ejections of what stayed healthy for an interval, and returns the targets that are to be probed now:
// those whose ejection is over, and those of a vacant port. It returns when to sweep again; zero is never.
func (g *group) sweep(now time.Time) (probes []*target, next time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	probes, next = g.sweepEjected(now)
	all, at := g.vacantProbes(now)
	if next.IsZero() || !at.IsZero() && at.Before(next) {
		next = at
	}
	return append(probes, all...), next
}

func (g *group) sweepEjected(now time.Time) (probes []*target, next time.Time) {
	if now.Before(g.nextSweep) {
		return nil, g.nextSweep
	}
	g.nextSweep = time.Time{}
	if g.policy.failurePercentage > 0 {
		g.judgeWindows()
	}
	for _, t := range g.targets {
		switch t.state {
		case OK:
			if !t.record.hasFailed() {
				t.ejections = max(t.ejections-1, 0)
			}
		case Ejected:
			if !now.Before(t.until) {
				t.state = Probing
				probes = append(probes, t)
			}
		case Ramping:
			if now.Sub(t.rampFrom) >= rampTime {
				t.state = OK
			}
		case Probing:
		}
		if t.state != OK || t.ejections > 0 {
			g.nextSweep = now.Add(g.policy.interval)
		}
	}
	return probes, g.nextSweep
}

// probed records how a probe went; inconclusive means that it could not be made.
func (g *group) probed(t *target, passed, inconclusive bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case t.gone:
		return
	case passed:
		g.reached(t)
	case inconclusive && g.vacancy == confirming:
		g.vacancy = served // the next connection that fails begins anew
	case !inconclusive:
		g.foundDead(t)
	}
	if t.state != Probing {
		return
	}
	lenient := t.lenient
	t.lenient = false
	switch {
	case passed:
		g.ramp(t)
	case inconclusive, lenient: // or it was too early
		t.state, t.tried = Ejected, time.Now()
		t.until = t.tried.Add(g.policy.interval)
		g.sweepSoon()
	default:
		g.eject(t, probeFailure)
	}
}

// checked records that t passed its health check, which ends its ejection (Envoy's successful_active_health_check_uneject_host). A connect
// alone, without an answer, does not disprove wrong answers.
func (g *group) checked(a Address, answered bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.targets[a]
	if t == nil {
		return
	}
	g.reached(t)
	if t.isEjected() && !t.unhealthy && (answered || !t.byAnswers) {
		g.ramp(t)
	}
}
