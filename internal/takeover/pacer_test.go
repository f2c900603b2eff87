package takeover

import (
	"testing"
	"time"
)

// A step of TestPacer: what happens at a time, what is done in the turn that follows, and when the next one is.
type step struct {
	at      time.Duration
	event   func(*pacer)
	takes   time.Duration // the turn
	known   bool          // a plan can be made
	changed bool          // … and differs from the tables
	fails   bool          // writing
	want    string        // r: read, p: plan, w: write
	next    time.Duration
}

func TestPacer(t *testing.T) {
	t.Parallel()
	const ms, s = time.Millisecond, time.Second
	source := func(p *pacer) { p.unread = true }
	turned := func(p *pacer) { p.outdated, p.urgent = true, true }
	changed := func(p *pacer) { p.outdated = true }
	timer := func(*pacer) {}
	started := step{at: 0, event: source, known: true, changed: true, want: "rpw", next: refreshInterval}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"waits until enough is known", []step{
			{at: 0, event: timer, want: "p", next: retryInterval},
			{at: 300 * ms, event: source, want: "rp", next: 300*ms + retryInterval},
			{at: 400 * ms, event: turned, known: true, changed: true, want: "pw", next: 400*ms + refreshInterval},
		}},
		{"renews", []step{
			started,
			{at: 4 * s, event: timer, want: "w", next: 8 * s},
			{at: 8 * s, event: timer, want: "w", next: 12 * s},
		}},
		{"a plan without changes is not written", []step{
			started,
			{at: s, event: turned, known: true, want: "p", next: 4 * s},
		}},
		{"tries again", []step{
			{at: 0, event: source, known: true, changed: true, fails: true, want: "rpw", next: retryInterval},
			{at: s, event: timer, fails: true, want: "w", next: 2 * s},
			{at: 2 * s, event: timer, want: "w", next: 2*s + refreshInterval},
		}},
		{"changes after a write are gathered", []step{
			started,
			{at: 10 * ms, event: turned, want: "", next: minWriteGap},
			{at: 20 * ms, event: source, want: "", next: minWriteGap},
			{at: minWriteGap, event: timer, known: true, changed: true, want: "rpw", next: minWriteGap + refreshInterval},
		}},
		{"rests in proportion to its work", []step{
			{at: 0, event: source, takes: 200 * ms, known: true, changed: true, want: "rpw", next: refreshInterval},
			{at: 300 * ms, event: source, want: "", next: 200*ms + workShare*200*ms},
			{at: 400 * ms, event: changed, want: "", next: 200*ms + workShare*200*ms},
			{at: 2200 * ms, event: timer, takes: 0, known: true, changed: true, want: "rpw", next: 2200*ms + refreshInterval},
		}},
		{"what is urgent does not wait, and delays nothing", []step{
			{at: 0, event: source, takes: 200 * ms, known: true, changed: true, want: "rpw", next: refreshInterval},
			{at: 300 * ms, event: source, want: "", next: 2200 * ms},
			{at: 400 * ms, event: turned, takes: 200 * ms, known: true, changed: true, want: "pw", next: 2200 * ms},
			{at: 2200 * ms, event: timer, known: true, want: "rp", next: 400*ms + refreshInterval},
		}},
		{"a long round does not put off renewal", []step{
			{at: 0, event: source, takes: s, known: true, changed: true, want: "rpw", next: refreshInterval},
			{at: 2 * s, event: source, want: "", next: refreshInterval},
			{at: 4 * s, event: timer, want: "w", next: s + maxRest},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			zero := time.Unix(1000, 0)
			p := newPacer(zero)
			for i := range tt.steps {
				x := &tt.steps[i]
				x.event(&p)
				if did, next := x.turn(&p, zero.Add(x.at)); did != x.want || next.Sub(zero) != x.next {
					t.Fatalf("at %s: did %q, next turn at %s, want %q, %s", x.at, did, next.Sub(zero), x.want, x.next)
				}
			}
		})
	}
}

// turn plays the agent.
func (x *step) turn(p *pacer, now time.Time) (did string, next time.Time) {
	ended := now.Add(x.takes)
	w := p.turn(now)
	if w.read {
		did += "r"
	}
	if w.plan {
		did += "p"
		p.planned(x.known, x.changed)
	}
	if p.mustWrite(now) {
		did += "w"
		p.wrote(now, ended, !x.fails)
	}
	p.finished(now, ended)
	return did, p.next(ended)
}
