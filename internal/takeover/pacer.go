package takeover

import (
	"time"

	"github.com/eastway/eastway/internal/pace"
)

// pacer decides when the agent reads its source, makes a plan, and writes. Reading and planning take longer the more services
// there are, so each round is followed by a rest in proportion; a proxy that is lost or comes back does not wait for that. It
// keeps no clock and does nothing itself: each method takes the time.
type pacer struct {
	unread   bool // the source may have something new
	outdated bool // the plan may differ from one made now
	urgent   bool // … and calls may go to the wrong place meanwhile
	known    bool // there is a plan
	changed  bool // the plan differs from the tables

	rest  time.Time // until then nothing is read, and no plan is made unless it is urgent
	quiet time.Time // until then nothing is done at all, so that changes that come together are written together
	due   time.Time // when the tables are written even if nothing changed, before their entries time out

	resting bool // the current turn is followed by a rest
}

// newPacer makes a pacer that plans as soon as enough is known.
func newPacer(now time.Time) pacer { return pacer{outdated: true, due: now} }

// work is what to do in one turn, in this order.
type work struct{ read, plan bool }

// turn returns the work that is due. The loop reports back with planned, wrote and finished.
func (p *pacer) turn(now time.Time) work {
	p.resting = false
	if now.Before(p.quiet) {
		return work{}
	}
	rested := !now.Before(p.rest)
	w := work{read: p.unread && rested}
	if w.read {
		p.unread, p.outdated = false, true
	}
	if w.plan = p.outdated && (rested || p.urgent); w.plan {
		p.outdated, p.urgent = false, false
		p.resting = rested // an urgent plan in between delays nothing
	}
	return w
}

// planned: a plan was made, or could not be made yet; changed reports whether it differs from the tables.
func (p *pacer) planned(known, changed bool) {
	p.known, p.outdated, p.changed = known, !known, known && changed
}

// mustWrite is true if the tables have to be written in this turn.
func (p *pacer) mustWrite(now time.Time) bool {
	return p.known && !now.Before(p.quiet) && (p.changed || !now.Before(p.due))
}

// wrote: a turn that began has written the tables, or failed to.
func (p *pacer) wrote(began, ended time.Time, ok bool) {
	p.changed = false
	p.quiet = ended.Add(minWriteGap)
	p.due = began.Add(retryInterval)
	if ok {
		p.due = began.Add(refreshInterval)
	}
}

// finished ends a turn.
func (p *pacer) finished(began, ended time.Time) {
	if p.resting {
		p.rest = ended.Add(pace.Rest(ended.Sub(began), workShare, maxRest))
	}
}

// next is when the next turn has to be, unless something happens before.
func (p *pacer) next(now time.Time) time.Time {
	next := p.due
	if !p.known {
		next = now.Add(retryInterval)
	}
	if p.unread || p.outdated && p.known {
		next = earlier(next, p.rest)
	}
	if p.urgent {
		next = now
	}
	if next.Before(p.quiet) {
		return p.quiet
	}
	return next
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
