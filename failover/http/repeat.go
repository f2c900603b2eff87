package http

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/eastway/eastway/failover/balance"
)

// repeats are those of one request that are on the budget of its service port.
type repeats struct {
	*Handler
	key     balance.Key
	policy  *balance.Retries
	n       int
	running bool // the try under way is one
}

// begin counts the request itself.
func (r *repeats) begin() {
	r.budgetOf(r.key, func(b *budget) { b.request(time.Now()) })
}

// take begins one; false: too many are under way.
func (r *repeats) take() bool {
	r.budgetOf(r.key, func(b *budget) { r.running = b.take(time.Now(), r.policy) })
	if !r.running {
		r.cfg.OverBudget(r.key.Service)
		return false
	}
	r.n++
	return true
}

// wait waits before the one that take has begun; false: ctx ended before.
func (r *repeats) wait(ctx context.Context) bool {
	return !r.running || pause(ctx, backoff(r.policy.Backoff, r.n, rand.Float64()))
}

// end ends the one under way.
func (r *repeats) end() {
	if r.running {
		r.running = false
		r.budgetOf(r.key, func(b *budget) { b.put() })
	}
}
