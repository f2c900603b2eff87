package main

import (
	"context"
	"slices"

	"github.com/eastway/eastway/internal/sim"
)

// shrinker looks for a shorter plan that still breaks the same rule.
type shrinker struct {
	w    *worker
	rule string
	runs int // made
	most int
}

// tries is how often a shorter plan is run before it passes: chances that no seed decides may hide a violation once.
const tries = 2

// breaks reports whether a plan still breaks the rule.
func (s *shrinker) breaks(ctx context.Context, p *sim.Plan) bool {
	for range tries {
		if s.runs++; s.runs > s.most || ctx.Err() != nil {
			return false
		}
		r, err := s.w.do(ctx, sim.Request{Plan: p})
		if err == nil && slices.ContainsFunc(r.Violations, func(v sim.Violation) bool { return v.Rule == s.rule }) {
			return true
		}
	}
	return false
}

// shrink leaves out faults, then calls, clients and their requests, as long as the rule is still broken.
func (s *shrinker) shrink(ctx context.Context, p *sim.Plan) *sim.Plan {
	best := *p
	best.Faults = minimize(best.Faults, func(f []sim.Fault) bool {
		q := best
		q.Faults = f
		return s.breaks(ctx, &q)
	})
	best.Calls = minimize(best.Calls, func(c []sim.Call) bool {
		q := best
		q.Calls = c
		return s.breaks(ctx, &q)
	})
	best.Clients = minimize(best.Clients, func(c []sim.Client) bool {
		q := best
		q.Clients = c
		return s.breaks(ctx, &q)
	})
	for i := range best.Clients {
		with := func(asks []sim.Ask) []sim.Client {
			clients := slices.Clone(best.Clients)
			clients[i].Asks = asks
			return clients
		}
		best.Clients = with(minimize(best.Clients[i].Asks, func(asks []sim.Ask) bool {
			q := best
			q.Clients = with(asks)
			return s.breaks(ctx, &q)
		}))
	}
	return &best
}

// minimize is delta debugging (Zeller's ddmin): it leaves out ever smaller parts of the list while fails holds.
func minimize[T any](list []T, fails func([]T) bool) []T {
	if len(list) > 0 && fails(nil) {
		return nil
	}
	for parts := 2; len(list) > 1; {
		size := (len(list) + parts - 1) / parts
		smaller := false
		for from := 0; from < len(list); from += size {
			rest := slices.Concat(list[:from], list[min(from+size, len(list)):])
			if fails(rest) {
				list, smaller = rest, true
				break
			}
		}
		switch {
		case smaller:
			parts = max(parts-1, 2)
		case size == 1:
			return list
		default:
			parts = min(2*parts, len(list))
		}
	}
	return list
}
