package sim

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// truth is what really happened to each part of the world, as opposed to what proxies believe. A part is named: "c0p1" is a
// proxy (a host), "c0s0a2" an app, "c0p1 c1p0" a path between two, the smaller name first.
type truth struct {
	mu    sync.Mutex
	spans map[string][]*span
}

// span is a time in which a part is not to be relied on, and why.
type span struct {
	why      string
	from, to time.Time // to is zero while it lasts
}

func (s *span) overlaps(from, to time.Time) bool {
	return !s.from.After(to) && (s.to.IsZero() || !s.to.Before(from))
}

func newTruth() *truth { return &truth{spans: make(map[string][]*span)} }

// pathOf names the path between two hosts.
func pathOf(a, b string) string { return min(a, b) + " " + max(a, b) }

// note adds a span.
func (t *truth) note(part, why string, from, to time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spans[part] = append(t.spans[part], &span{why: why, from: from, to: to})
}

// begin notes that a part is disturbed from now on; the returned func ends that, after an aftermath.
func (t *truth) begin(part, why string) (end func(aftermath time.Duration)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &span{why: why, from: time.Now()}
	t.spans[part] = append(t.spans[part], s)
	return func(aftermath time.Duration) {
		t.mu.Lock()
		defer t.mu.Unlock()
		s.to = time.Now().Add(aftermath)
	}
}

// why is the reason for which a part could not be relied on at some time between from and to; "" if it could all the time.
func (t *truth) why(part string, from, to time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.spans[part] {
		if s.overlaps(from, to) {
			return s.why
		}
	}
	return ""
}

// is reports whether a part could not be relied on for that reason, at some time between from and to.
func (t *truth) is(part, why string, from, to time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.spans[part], func(s *span) bool { return s.why == why && s.overlaps(from, to) })
}

// calm reports whether all parts could be relied on all the time.
func (t *truth) calm(from, to time.Time, parts ...string) bool {
	for _, p := range parts {
		if t.why(p, from, to) != "" {
			return false
		}
	}
	return true
}

// Violation is a rule that did not hold.
type Violation struct {
	// Rule is one of the rules below.
	Rule string
	Text string
}

// The rules that hold in every world.
const (
	RuleOnce      = "nothing is executed twice"
	RuleWhole     = "no cut-off answer reads as whole, no byte is lost, added or out of order"
	RuleServed    = "a call succeeds while a healthy endpoint can be reached"
	RuleMarked    = "an endpoint sees that a request is not tried for the first time"
	RuleMatched   = "an answer is the one to its request"
	RuleBudget    = "retries stay within their budget"
	RuleTold      = "an end reaches the other side"
	RuleRecovered = "after everything has healed, links, catalogs and shares are back"
	RuleRamped    = "an endpoint that was ejected comes back gradually"
	RuleClean     = "no goroutine, timer, stream or byte is left"
)

func (v Violation) String() string { return v.Rule + ": " + v.Text }

// findings collects violations, and how often each exception was.
type findings struct {
	mu         sync.Mutex
	violations []Violation
	exceptions map[string]int
}

func (f *findings) violate(rule, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.violations = append(f.violations, Violation{rule, fmt.Sprintf(format, args...)})
}

func (f *findings) except(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.exceptions[name]++
}
