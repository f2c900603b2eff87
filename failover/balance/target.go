package balance

import (
	"sync/atomic"
	"time"

	"github.com/eastway/eastway/failover/capacity"
)

// State is where a target is in its outlier check.
type State int

// The states of the outlier check.
const (
	OK      State = iota
	Ejected       // gets no connection unless all else failed
	Probing       // still ejected, a probe is under way
	Ramping       // back, with a growing share
)

// standing is a target's readiness in the catalog.
type standing int

const (
	standingOut standing = iota // it takes no connections
	standingTerminating
	standingReady
)

func standingOf(ready, terminating bool) standing {
	switch {
	case ready:
		return standingReady
	case terminating:
		return standingTerminating
	}
	return standingOut
}

// target is the memory about one place: what is in flight there and its outlier check.
// A broken lane is no failure of a target; the tunnel's state shows it.
type target struct {
	address Address
	group   *group
	// active counts attempts and connections in flight, also of a target before it that was gone for a while.
	active *atomic.Int64

	// The rest is guarded by group.mu.
	room      capacity.Gauge
	round     float64 // connections in ROUND_ROBIN, per endpoint that it stood for
	state     State
	record    record
	window    window
	refusals  refusals
	proven    int64   // the most that it had in flight when it accepted or answered well, since it was ejected
	ejections int     // in a row, forgotten one by one while healthy
	kind      Failure // of the last ejection
	// byAnswers: it is out for its answers, so that a connect alone does not bring it back before its ejection is over.
	byAnswers bool
	until     time.Time
	tried     time.Time // when it was ejected, or last probed in vain
	lenient   bool      // its next probe comes before its ejection is over: a failed one does not prolong the ejection
	rampFrom  time.Time
	heldUntil time.Time
	standing  standing
	readyAt   time.Time // when it became ready; zero: it always was, or is a peer
	member    bool      // counts in the denominator
	unhealthy bool      // it fails its health check
	gone      bool      // no longer in the catalog
	missed    time.Time // when it did not take a connection, for the first time since it took one; zero: it took the newest
	dead      bool      // so did its probe in the newest round
}

// prove counts what it has in flight, as it serves that well. group.mu is held.
func (t *target) prove() { t.proven = max(t.proven, t.active.Load()) }

// isEjected: no connection is given to it unless all else failed.
func (t *target) isEjected() bool { return t.state == Ejected || t.state == Probing }
