package http

import (
	"context"
	"slices"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/dial"
)

// route is the way of one request: which endpoints are left to try, and connections to them.
type route struct {
	*Handler
	front *front
	entry *access.Entry
	h2    bool

	policy *balance.Requests
	quota  quota
	// call is what is known of the caller.
	call call
	// all is the number of tries.
	all int
	// tried are candidates that come last from now on, triedAt endpoints of peers.
	tried   []balance.Address
	triedAt triedAt
	// fresh: a kept connection has failed, so that others of its age may be dead, too.
	fresh bool
	// waits: a peer did not take an earlier try, so that the next one is sent when its answer is there.
	waits bool
}

// candidates are those for the next try: what was tried before comes last, peers that have another endpoint before it.
func (r *route) candidates() (untried, again, tried []balance.Candidate) {
	from := &r.front.from
	all := r.cfg.Table.Candidates(from.Key, balance.Caller{
		Cluster: from.cluster(r.cfg.Cluster), Address: r.call.address, Locality: r.call.locality, ClusterSet: from.ClusterSet,
		Remote: from.peer != "", Hostname: from.hostname, HTTP: true, Affinity: r.call.affinity,
	})
	for i := range all {
		switch {
		case !slices.Contains(r.tried, all[i].Address) && !slices.Contains(r.call.tried, all[i].String()):
			untried = append(untried, all[i])
		case r.triedAt.left(&all[i]):
			again = append(again, all[i])
		default:
			tried = append(tried, all[i])
		}
	}
	return untried, again, tried
}

// others is true when there is a candidate that was not tried, or a peer that has another endpoint.
func (r *route) others() bool {
	untried, again, _ := r.candidates()
	return len(untried)+len(again) > 0
}

// connect fills in a connection with a place for the request: one that is kept, to the candidate that comes first, or a new one.
func (r *route) connect(ctx context.Context, t *try) outcome {
	candidates := slices.Concat(r.candidates())
	if len(candidates) == 0 {
		t.err = dial.ErrNoEndpoint
		return noCandidate
	}
	if r.quota.refuses(candidates[0].Address) {
		return limited
	}
	to := target{key: r.front.from.Key, address: candidates[0].Address, h2: r.h2}
	up, first := r.keptOne(ctx, to)
	if up != nil {
		t.up, t.use, t.reused = up, candidates[0].Begin(), true
		return answered
	}
	o := r.dial(ctx, t, to, candidates)
	if first {
		r.pool.dialed(to)
	}
	if o != answered && ctx.Err() != nil {
		return clientGone
	}
	return o
}

// keptOne is a kept connection, nil if there is none. With first, others wait for the one that the caller makes.
func (r *route) keptOne(ctx context.Context, to target) (up *upstream, first bool) {
	if r.fresh {
		return nil, false
	}
	up, wait := r.pool.take(to)
	if up != nil || wait == nil {
		return up, r.h2 && up == nil
	}
	select {
	case <-wait:
	case <-ctx.Done():
		return nil, false
	}
	up, wait = r.pool.take(to)
	return up, up == nil && wait == nil
}

// dial makes a new connection.
func (r *route) dial(ctx context.Context, t *try, to target, candidates []balance.Candidate) outcome {
	from := &r.front.from
	conn, attempts, err := r.cfg.Dialer.Connect(ctx, &dial.Request{
		Key: from.Key, Caller: r.call.address, CallerLocality: r.call.locality, HTTP: true, Eager: !r.waits,
		Budget: r.cfg.Budget, Life: from.life, Attempts: from.attempts,
	}, candidates)
	for i := range attempts {
		if attempts[i].Result != dial.Accepted { // the try follows
			r.entry.Attempts = append(r.entry.Attempts, attempts[i])
		}
	}
	if err != nil {
		t.err = err
		return noCandidate
	}
	to.address = conn.Address
	up, err := r.clientConn(ctx, to, conn)
	if err == nil {
		if err = up.client.Reserve(); err == nil {
			up.keep, up.most, up.requests = to.keep(r.policy.Pool.IdleTimeout), r.policy.Pool.MaxPerConnection, 1
			up.idle = up.keep
			r.pool.share(up)
			t.up, t.use = up, conn.Use
			if conn.Pending {
				t.pending = conn
			}
			return answered
		}
		up.close()
	}
	// It accepted and was gone at once: nothing of the request was sent.
	r.tried = append(r.tried, conn.Address)
	var blame balance.Outcome
	if conn.Peer == "" && ctx.Err() == nil {
		blame.Failure = balance.BrokenAnswer
	}
	conn.Use.Done(blame)
	t.err = err
	return notExecuted
}
