package http

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/http/bounds"
	"github.com/eastway/eastway/failover/registry"
)

// repeats are those of one request that are on the budget of its service port.
type repeats struct {
	*Handler
	key     balance.Key
	peer    string       // that the request comes from; empty: an application of the own cluster
	from    netip.Prefix // its caller
	policy  *balance.Requests
	n       int
	running bool          // the try under way is one
	least   time.Duration // what it waits for, at least
}

// begin counts the request itself, until done is called; otherwise too many are under way.
func (r *repeats) begin() (refused string) {
	met := r.peers.Take(r.peer, r.key.Service.String(), r.from, r.cfg.MaxPerPeer)
	if met != nil {
		r.cfg.LimitMet(r.key.Service, string(met.Limit))
		if met.Limit == registry.LimitCallerShare {
			return reasonShare
		}
		return reasonOverflow
	}
	r.budgetOf(r.key, func(b *bounds.Budget) {
		if !b.Request(time.Now(), r.policy.Pool.MaxRequests) {
			refused = reasonOverflow
		}
	})
	if refused != "" {
		r.depart()
		r.cfg.LimitMet(r.key.Service, limitRequests)
	}
	return refused
}

func (r *repeats) done() {
	r.depart()
	r.budgetOf(r.key, func(b *bounds.Budget) { b.Done() })
}

// take begins one; false: too many are under way.
func (r *repeats) take() bool {
	full := false
	r.budgetOf(r.key, func(b *bounds.Budget) {
		if full = r.policy.Pool.MaxRetries > 0 && b.Retries() >= r.policy.Pool.MaxRetries; !full {
			r.running = b.Take(time.Now(), &r.policy.Retries)
		}
	})
	switch {
	case full:
		r.cfg.LimitMet(r.key.Service, limitRetries)
	case !r.running:
		r.cfg.OverBudget(r.key.Service)
	default:
		r.n++
	}
	return r.running
}

func (r *repeats) depart() {
	r.peers.Give(r.peer, r.key.Service.String(), r.from)
}

// Limits that requests meet: those of a policy's connectionPool, rateLimit and capacity. Those of peers are the registry's.
const (
	LimitRate     = "rate_limit"
	LimitCapacity = "capacity"
	limitPending  = "pending"
	limitRequests = "requests"
	limitRetries  = "retries"
)

// wait waits before the one that take has begun; false: ctx ended before.
func (r *repeats) wait(ctx context.Context) bool {
	return !r.running || bounds.Pause(ctx, max(bounds.Backoff(r.policy.Retries.Backoff, r.n, rand.Float64()), r.least))
}

// end ends the one under way.
func (r *repeats) end() {
	if r.running {
		r.running = false
		r.budgetOf(r.key, func(b *bounds.Budget) { b.Put() })
	}
}
