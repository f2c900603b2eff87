package http

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/ratelimit"
)

// reasonRateLimit: the policy's rateLimit allows no more now.
const reasonRateLimit = "rate-limit"

// quota is what one request may take of the rate limits of its service port. It counts once, when it has a connection to an endpoint of the
// own cluster: where a peer's endpoints serve it, it counts there.
type quota struct {
	of    ratelimit.Counted
	taken bool
	// wait is how long there is no token, when the request is refused.
	wait time.Duration
}

// refuses is true when a request that would go to the candidate is beyond a limit: then no connection is made for it.
func (q *quota) refuses(at balance.Address) bool {
	if q.taken || at.Peer != "" {
		return false
	}
	q.wait = q.of.Wait(time.Now())
	return q.wait > 0
}

// take counts the request, which has a connection to the address now; false: it is beyond a limit.
func (q *quota) take(at balance.Address) bool {
	if q.taken || at.Peer != "" {
		return true
	}
	q.wait = q.of.Take(time.Now())
	q.taken = q.wait == 0
	return q.taken
}

// handBack returns the connection of a try that sends nothing.
func (p *pool) handBack(t *try) {
	t.up.client.Release()
	t.use.Done(balance.Outcome{})
	p.put(t.up, t.up.keep)
	t.cancel(nil)
}

// turnAway answers a request that has to wait too long for a connection, or for which nothing has room. No endpoint has it from this try.
func turnAway(e *exchange, t *try) {
	reason := reasonOverflow
	if errors.Is(t.err, balance.ErrFull) {
		reason = reasonCapacity
		e.cfg.LimitMet(e.front.from.Service, LimitCapacity)
		e.w.Header().Set("Retry-After", "1")
	}
	result := access.Limit
	if e.tries > 0 {
		result, reason = access.UnknownOutcome, "unknown-outcome"
	}
	e.entry.Err = t.err
	e.fail(http.StatusServiceUnavailable, result, reason)
}

// refuse answers a request that is beyond a rate limit. No endpoint has it.
func (e *exchange) refuse() {
	e.cfg.LimitMet(e.front.from.Service, LimitRate)
	h := e.w.Header()
	h.Set("Retry-After", strconv.Itoa(max(int(math.Ceil(e.quota.wait.Seconds())), 1)))
	if isGRPC(e.r.Header) {
		h.Set("Grpc-Retry-Pushback-Ms", strconv.FormatInt(max(e.quota.wait.Milliseconds()+1, 1), 10))
	}
	e.fail(http.StatusTooManyRequests, access.RateLimited, reasonRateLimit)
}
