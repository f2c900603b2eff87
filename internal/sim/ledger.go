package sim

import (
	"sync"
	"time"
)

// ledger is what callers and endpoints saw of each call.
type ledger struct {
	mu       sync.Mutex
	findings *findings
	runs     map[int][]*execution
	outcomes []*outcome
	replies  []*reply
	gave     map[int]time.Time
}

// execution is an endpoint that got bytes of a call, or the head of an HTTP request.
type execution struct {
	app *app
	at  time.Time
	// Of an HTTP request: which execution it is, whether the endpoint has seen that it is a further try, and when the answer began;
	// zero: it did not.
	number   int
	again    bool
	answered time.Time
	status   int
}

func newLedger(f *findings) *ledger {
	return &ledger{findings: f, runs: make(map[int][]*execution), gave: make(map[int]time.Time)}
}

// executed notes that an endpoint got a call's request.
func (l *ledger) executed(a *app, call int, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs[call] = append(l.runs[call], &execution{app: a, at: at})
	if n := len(l.runs[call]); n > 1 {
		l.findings.violate(RuleOnce, "call %d is executed by %s at %v, and before by %s",
			call, a.name, time.Since(a.w.start), l.runs[call][n-2].app.name)
	}
	a.w.trace.Add("%s executes call %d", a.name, call)
}

// served notes that an endpoint got an HTTP request's head, which is taken for its execution.
func (l *ledger) served(a *app, ask *Ask, attempt string) *execution {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &execution{app: a, at: time.Now(), number: len(l.runs[ask.ID]) + 1, again: attempt != ""}
	l.runs[ask.ID] = append(l.runs[ask.ID], e)
	a.w.trace.Add("%s executes %v, attempt %q", a.name, ask, attempt)
	if e.number == 1 {
		return e
	}
	before := l.runs[ask.ID][e.number-2].app.name
	if !ask.idempotent() {
		l.findings.violate(RuleOnce, "%v is executed by %s at %v, and before by %s", ask, a.name, time.Since(a.w.start), before)
	}
	first := 0 // a first try may arrive after a further one
	for _, o := range l.runs[ask.ID] {
		if !o.again {
			first++
		}
	}
	if first > 1 {
		l.findings.violate(RuleMarked, "%v is executed by %s at %v, and before by %s: only one try may have no %s",
			ask, a.name, time.Since(a.w.start), before, attemptField)
	}
	return e
}

// answers notes that an endpoint begins to answer.
func (l *ledger) answers(e *execution, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.answered, e.status = time.Now(), status
}

// replied notes what became of an HTTP request.
func (l *ledger) replied(r *reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replies = append(l.replies, r)
	if r.proxy != nil {
		r.proxy.w.trace.Add("request %d of client %d through %s ended after %v: %v", r.ask.ID, r.client.ID, r.proxy.name, r.ended.Sub(r.began), r.err)
	}
}

// by are the endpoints that got a call's request.
func (l *ledger) by(call int) []*execution {
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
		o.proxy.w.trace.Add("call %d through %s ended after %v: %v", o.call.ID, o.proxy.name, o.ended.Sub(o.began), o.err)
	}
}
