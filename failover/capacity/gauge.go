package capacity

import "time"

const (
	// growTime is how long a place takes until calls fill up capacity that is new: as long as one that came back takes until it has its full
	// share again.
	growTime = 10 * time.Second
	// growStart is the part of it that is used at once.
	growStart = 0.1
	// backOff is the part of the calls in flight at a refusal that is sent from then on. When what the place wanted is over, recoverPart of
	// it is added each second, or what makes it all within recoverTime: additive increase and multiplicative decrease. What others take is
	// not known here, so a place that is full for long is tried above what it took once every few seconds.
	backOff     = 0.9
	recoverPart = 0.1
	recoverTime = time.Minute
)

// Gauge is how many calls one place, an endpoint or a peer, can have in flight. What it loses is gone at once; what it gains comes evenly
// over growTime, and what it has lost by a refusal more slowly. The zero Gauge has no bound. It has no clock and no lock of its own.
type Gauge struct {
	bounded bool
	// declared is what it can take, from what the growth began, and when.
	declared, from float64
	since          time.Time
	lasts          time.Duration // until it has grown
	backedOff      bool          // it grows because of a refusal
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
	case g.backedOff && grown < g.declared: // what it declares newly fills as always, and the rest as before
		rate := max(g.rate(), (declared-g.declared)/growTime.Seconds())
		if g.since.Before(now) {
			g.since = now
		}
		g.from, g.declared = min(grown, declared), declared
		g.lasts = seconds((g.declared - g.from) / rate)
	default:
		g.from, g.declared = min(max(grown, growStart*declared), declared), declared
		g.since, g.lasts, g.backedOff = now, growTime, false
	}
}

// rate is how much it grows in a second.
func (g *Gauge) rate() float64 { return (g.declared - g.from) / g.lasts.Seconds() }

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

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
	if g.from == g.declared || g.lasts <= 0 {
		return g.declared
	}
	passed := min(max(now.Sub(g.since).Seconds()/g.lasts.Seconds(), 0), 1)
	return g.from + (g.declared-g.from)*passed
}

// Refuse takes in that the place has refused a call for load while all proxies had so many in flight. Within its bound that means that it
// serves others too: it gets fewer, and more only when wait is over, slowly. Beyond it the place has decided itself, as a bound counts calls
// that are on their way, and it does not: it gets nearly as many for some time, and decides again. Refusals meanwhile are of calls that were
// sent before. It is false where there is no bound.
func (g *Gauge) Refuse(inFlight float64, wait time.Duration, now time.Time) bool {
	if !g.bounded || g.IsClosed(now) {
		return g.bounded
	}
	g.closed, g.most = now.Add(wait), backOff*inFlight
	if inFlight > g.grown(now) {
		return true
	}
	g.from, g.since, g.backedOff = min(max(g.most, 1), g.declared), g.closed, true
	g.lasts = min(seconds((g.declared-g.from)/(recoverPart*g.from)), recoverTime)
	return true
}

// IsClosed is true for some time after a refusal.
func (g *Gauge) IsClosed(now time.Time) bool { return now.Before(g.closed) }
