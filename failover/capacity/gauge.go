package capacity

import "time"

const (
	// growTime is how long a place takes until calls fill up capacity that is new: as long as one that came back takes until it has its full
	// share again.
	growTime = 10 * time.Second
	// growStart is the part of it that is used at once.
	growStart = 0.1
	// backOff is the part of the calls in flight at a refusal that is sent from then on, and recoverTime how long it takes until all are sent
	// again: additive increase and multiplicative decrease. A refusal proves little: the other side may not have seen yet that a call has
	// ended. So they keep a place that is full nine tenths full, at one refusal a second.
	backOff     = 0.9
	recoverTime = 2 * time.Second
)

// Gauge is how many calls one place, an endpoint or a peer, can have in flight. What it loses is gone at once; what it gains, or has lost by
// a refusal, comes back evenly over growTime. The zero Gauge has no bound. It has no clock and no lock of its own.
type Gauge struct {
	bounded bool
	// declared is what it can take, from what the growth began, and when.
	declared, from float64
	since          time.Time
	lasts          time.Duration // until it has grown
	// closed is when more than most may be tried again.
	closed time.Time
	most   float64
}

// Set takes in what the place declares; bounded is false where it declares nothing.
func (g *Gauge) Set(declared float64, bounded bool, now time.Time) {
	switch grown := g.grown(now); {
	case !bounded:
		*g = Gauge{}
	case !g.bounded:
		*g = Gauge{bounded: true, declared: declared, from: declared, since: now, lasts: growTime}
	case declared == g.declared:
	default:
		g.from, g.declared = min(max(grown, growStart*declared), declared), declared
		g.since, g.lasts = now, growTime
	}
}

// Empty has the place begin with nothing, as one that was not there before.
func (g *Gauge) Empty() { *g = Gauge{bounded: true, lasts: growTime} }

// At is the place with so many calls in flight.
func (g *Gauge) At(now time.Time, inFlight float64) Level {
	l := Level{InFlight: inFlight, Bounded: g.bounded, Grown: g.grown(now), Declared: g.declared}
	if g.IsClosed(now) {
		l.Closed, l.Most = true, g.most
	}
	return l
}

func (g *Gauge) grown(now time.Time) float64 {
	if g.from == g.declared {
		return g.declared
	}
	passed := min(max(now.Sub(g.since).Seconds()/g.lasts.Seconds(), 0), 1)
	return g.from + (g.declared-g.from)*passed
}

// Refuse takes in that the place has refused a call for load while all proxies had so many in flight. Within its bound that means that it
// serves others too: it gets fewer. Beyond it the place has decided itself, as a bound counts calls that are on their way, and it does not:
// it gets nearly as many for some time, and decides again. Refusals meanwhile are of calls that were sent before. It is false where there is
// no bound.
func (g *Gauge) Refuse(inFlight float64, wait time.Duration, now time.Time) bool {
	if !g.bounded || g.IsClosed(now) {
		return g.bounded
	}
	g.closed, g.most = now.Add(wait), backOff*inFlight
	grown := g.grown(now)
	if inFlight > grown {
		return true
	}
	left := time.Duration(0)
	if grown < g.declared { // what is new goes on growing
		left = g.since.Add(g.lasts).Sub(now)
	}
	g.from, g.since, g.lasts = max(g.most, 1), now, max(recoverTime, left)
	return true
}

// IsClosed is true for some time after a refusal.
func (g *Gauge) IsClosed(now time.Time) bool { return now.Before(g.closed) }
