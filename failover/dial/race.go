package dial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/tunnel"
)

// race tries the candidates of one connection until one accepts. Its rules:
//
//   - The next candidate is tried when one fails, or beside it when it does not answer within its stagger.
//     The first to accept wins, the others are abandoned.
//   - Bytes of the application go to one candidate at a time. They may go to a peer before its answer
//     while it is the only one being tried (its gate is open). Once another one is tried beside it, no attempt
//     gets bytes before it has won; and beside one that has got bytes no other is tried.
//   - What a candidate has refused, or did not get, is replayed to the next one. If the lane dies after bytes were
//     sent, nothing else is tried.
type race struct {
	*Dialer
	*Request

	queue    []entrant
	running  []*attempt
	results  chan *attempt
	quit     chan struct{}
	attempts []access.Attempt
	limit    *LimitError // that an attempt met
	full     bool        // a candidate had no room left when its turn came
}

// entrant is a candidate that is going to be tried.
type entrant struct {
	balance.Candidate
	// avoid are replicas of the peer that did not take the connection.
	avoid []string
}

// run returns the attempt that was accepted.
func (r *race) run(ctx context.Context) (*attempt, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.Budget, ErrBudget)
	defer cancel()
	defer r.settle()
	stagger := r.launch(ctx)
	for len(r.running) > 0 {
		select {
		case a := <-r.results:
			r.running = slices.DeleteFunc(r.running, func(o *attempt) bool { return o == a })
			if a.pending {
				return a, nil
			}
			if a.err == nil {
				r.record(a, Accepted, "", a.took)
				a.use.Accepted()
				return a, nil
			}
			if r.failed(a) {
				return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, a.err)
			}
			stagger = r.launch(ctx)
		case <-stagger:
			stagger = r.launch(ctx)
		case <-r.Broken:
			return nil, ErrClientReset
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if r.limit != nil {
		return nil, r.limit
	}
	if r.full {
		return nil, balance.ErrFull
	}
	return nil, ErrNoEndpoint
}

// launch starts the next candidate if there is one and if it may be tried beside those that are running. It
// returns when to try the one after it.
func (r *race) launch(ctx context.Context) <-chan time.Time {
	if len(r.queue) == 0 {
		return nil
	}
	for _, a := range r.running {
		if !a.gate.close() {
			return nil // has got bytes
		}
	}
	next, use := r.next()
	if use == nil {
		return nil
	}
	a := &attempt{entrant: next, started: time.Now(), timeout: next.ConnectTimeout, use: use}
	if deadline, ok := ctx.Deadline(); ok {
		a.timeout = min(a.timeout, time.Until(deadline))
	}
	if len(r.running) > 0 || r.Early == nil && !r.Eager {
		a.gate.close()
	}
	r.running = append(r.running, a)
	r.Attempts.Go(func() { r.try(ctx, a) })
	return time.After(next.stagger())
}

// next takes the next candidate that has room. Others may have filled it since it was chosen; without a use there is none.
func (r *race) next() (entrant, *balance.Use) {
	for len(r.queue) > 0 {
		one := r.queue[0]
		r.queue = r.queue[1:]
		take := one.Take
		if r.Exempt {
			take = one.Begin
		}
		if use := take(); use != nil {
			return one, use
		}
		r.full = true
	}
	return entrant{}, nil
}

// stagger is how long a candidate may take before the next one is tried beside it.
func (e *entrant) stagger() time.Duration {
	if e.TLS != nil {
		return tlsStagger
	}
	return max(LocalStagger, peerStaggerRTTs*e.RTT)
}

func (r *race) try(ctx context.Context, a *attempt) {
	if a.Peer == "" {
		a.conn, a.err = r.dial(r.Life, ctx, a)
	} else {
		a.stream, a.err = r.open(ctx, a)
	}
	a.took = time.Since(a.started)
	select {
	case r.results <- a:
	case <-r.quit:
		a.abandon()
		var o balance.Outcome
		if a.Peer == "" && a.err != nil && r.Life.Err() == nil && !isOwn(a.err) {
			o.Failure = balance.LocalFailure
		}
		a.use.Done(o)
	}
}

// failed takes in a failed attempt; true means that nothing else may be tried.
func (r *race) failed(a *attempt) bool {
	v := judge(a.Address, a.err)
	if len(a.avoid) == 0 || !errors.Is(a.err, tunnel.ErrNoLane) { // that the peer has no other replica is no attempt
		r.record(a, v.result, a.err.Error(), a.took)
	}
	r.limit = cmp.Or(a.limitOf(), r.limit)
	a.use.Done(v.Outcome)
	// The one usable link may be the replica's that failed, or, when that one has just gone away, another's.
	if v.elsewhere && a.replica != "" && len(a.avoid) < maxSamePeer && r.cfg.Tunnels.State(a.Peer).Usable {
		again := entrant{Candidate: a.Candidate, avoid: append(slices.Clone(a.avoid), a.replica)}
		r.queue = slices.Insert(r.queue, 0, again)
	}
	return v.unknown
}

// settle abandons what is still running. Local endpoints are still heard out (see dial): were they not, one that
// swallows connections would delay each of them and never be ejected. A peer races its own endpoints and ejects them itself.
func (r *race) settle() {
	close(r.quit)
	for _, a := range r.running {
		r.record(a, resultAbandoned, "no answer yet", time.Since(a.started))
	}
	r.running = nil
}

func (r *race) record(a *attempt, result, reason string, took time.Duration) {
	r.cfg.Attempted(a.Address, result)
	if len(r.attempts) == maxLoggedAttempts {
		r.attempts = slices.Delete(r.attempts, 0, 1)
	}
	r.attempts = append(r.attempts, access.Attempt{
		Target: a.String(), Cluster: a.Cluster, Result: result, Reason: access.Clip(reason), Took: took,
	})
}
