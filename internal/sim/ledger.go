package sim

import (
	"sync"
	"time"
)

// ledger is what callers and endpoints saw of each call.
type ledger struct {
	mu       sync.Mutex
	findings *findings
	runs     map[int][]execution
	outcomes []*outcome
	gave     map[int]time.Time
}

// execution is an endpoint that got bytes of a call.
type execution struct {
	app *app
	at  time.Time
}

func newLedger(f *findings) *ledger {
	return &ledger{findings: f, runs: make(map[int][]execution), gave: make(map[int]time.Time)}
}

// executed notes that an endpoint got a call's request.
func (l *ledger) executed(a *app, call int, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs[call] = append(l.runs[call], execution{a, at})
	if n := len(l.runs[call]); n > 1 {
		l.findings.violate(RuleOnce, "call %d is executed by %s at %v, and before by %s",
			call, a.name, time.Since(a.w.start), l.runs[call][n-2].app.name)
	}
	a.w.trace.add("%s executes call %d", a.name, call)
}

// by are the endpoints that got a call's request.
func (l *ledger) by(call int) []execution {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs[call]
}

// gaveUp notes when the reset of the endpoint of a stalled call leaves it: of a paused one, after the pause.
func (l *ledger) gaveUp(call int, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gave[call] = at
}

func (l *ledger) gaveUpAt(call int) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gave[call]
}

func (l *ledger) ended(o *outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outcomes = append(l.outcomes, o)
	if o.proxy != nil {
		o.proxy.w.trace.add("call %d through %s ended after %v: %v", o.call.ID, o.proxy.name, o.ended.Sub(o.began), o.err)
	}
}
