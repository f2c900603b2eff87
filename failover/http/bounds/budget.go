package bounds

import (
	"time"

	"github.com/eastway/eastway/failover/balance"
)

// Budget bounds the requests of one service port, as its policy wants, and its retries, so that an outage does not multiply its load:
// within the window at most a share of the requests may be retries; beside it some may be under way, and as many begin in a second. It has
// no clock and no lock of its own.
type Budget struct {
	// Started is when the process did. For a window from then on there is no history to take a share of: what may begin in a window may
	// be under way at once. Zero: there is.
	Started time.Time

	slots  [10]struct{ requests, retries int }
	newest int64 // the slot's number since the epoch
	// under way
	requests, retries int
}

const (
	// budgetWindow is the time over which retries are compared with requests.
	budgetWindow  = 10 * time.Second
	slotTime      = budgetWindow / 10
	budgetSeconds = int(budgetWindow / time.Second)
)

// advance forgets what is older than the window.
func (b *Budget) advance(now time.Time) {
	at := now.UnixNano() / int64(slotTime)
	for n := max(b.newest+1, at-int64(len(b.slots))+1); n <= at; n++ {
		b.slots[n%int64(len(b.slots))] = struct{ requests, retries int }{}
	}
	b.newest = max(b.newest, at)
}

// Request counts a new request; false: at most so many are under way already. Done ends it.
func (b *Budget) Request(now time.Time, most int) bool {
	if most > 0 && b.requests >= most {
		return false
	}
	b.requests++
	b.advance(now)
	b.slots[b.newest%int64(len(b.slots))].requests++
	return true
}

// Done ends a request.
func (b *Budget) Done() { b.requests-- }

// Take begins a retry if one is allowed; Put ends it.
func (b *Budget) Take(now time.Time, r *balance.Retries) bool {
	b.advance(now)
	requests, retries := 0, 0
	for _, s := range b.slots {
		requests += s.requests
		retries += s.retries
	}
	// What is always allowed to be under way may end at once: without a bound in time an outage would double the load.
	least := r.MinConcurrency * budgetSeconds
	together := r.MinConcurrency
	if now.Sub(b.Started) < budgetWindow {
		together = least
	}
	if beyond := (retries+1)*100 - requests*r.Percent; beyond > 0 && (b.retries >= together || beyond > 100*least) {
		return false
	}
	b.slots[b.newest%int64(len(b.slots))].retries++
	b.retries++
	return true
}

// Put ends a retry.
func (b *Budget) Put() { b.retries-- }

// Retries is how many are under way.
func (b *Budget) Retries() int { return b.retries }

// IsUnused is true while nothing is under way.
func (b *Budget) IsUnused() bool { return b.requests == 0 && b.retries == 0 }
