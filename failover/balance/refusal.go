package balance

import (
	"math"
	"net/http"
	"time"
)

const (
	// refusalGain is the weight of one answer in the share of those that are refusals.
	refusalGain = 0.25
	// refusalMemory is the time in which that share falls to a third without answers, so that what refused is tried again.
	refusalMemory = 2 * time.Second
	// refusalLeast is the share from which on it is none.
	refusalLeast = 0.05
	// refusalWeight times the share is what refusals add to the load, in loads of the busiest of the level: one in two answers
	// makes a target the busiest.
	refusalWeight = 2
)

// refusals is the share of refusals among the newest answers of a target. What refuses does so at once, and so has
// little in flight: by load alone it would attract all requests.
type refusals struct {
	share float64
	at    time.Time
}

// now is the share at a time.
func (r refusals) now(t time.Time) float64 {
	if r.share == 0 {
		return 0
	}
	share := r.share * math.Exp(-max(t.Sub(r.at), 0).Seconds()/refusalMemory.Seconds())
	if share < refusalLeast {
		return 0
	}
	return share
}

// with takes in an answer.
func (r refusals) with(refused bool, t time.Time) refusals {
	share := r.now(t) * (1 - refusalGain)
	if refused {
		share += refusalGain
	}
	return refusals{share: share, at: t}
}

// penalized is the load that a target is compared by; busiest is the largest load of its level.
func penalized(load, refusing, busiest float64) float64 {
	return load + refusalWeight*refusing*(busiest+1)
}

// isRefusal is true for the statuses by which a server turns requests away.
func isRefusal(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
}
