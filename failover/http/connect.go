package http

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/slots"
)

// errNoSlot: no connection was free in time, of as many as the policy allows.
var errNoSlot = errors.New("as many connections are in use as the policy's maxConnections")

// connect fills in a connection with a place for the request: one that is kept, to the candidate that comes first, or a new one.
func (r *route) connect(ctx context.Context, t *try) outcome {
	candidates, full := balance.WithRoom(r.candidates())
	if full {
		t.err = balance.ErrFull
		return overflow
	}
	if len(candidates) == 0 {
		t.err = dial.ErrNoEndpoint
		return noCandidate
	}
	if r.quota.refuses(candidates[0].Address) {
		return limited
	}
	c := &connecting{route: r, t: t, until: time.Now().Add(r.cfg.Budget)}
	defer c.end()
	o := c.run(ctx, candidates)
	if o != answered && ctx.Err() != nil {
		return clientGone
	}
	return o
}

// connecting is how a try gets its connection.
type connecting struct {
	*route
	t     *try
	until time.Time
	// pending: the request counts among those that have no connection.
	pending bool
}

func (c *connecting) end() {
	if c.pending {
		c.pool.slots.End(c.front.from.Key)
	}
}

// run goes through the candidates. Where the policy limits connections, some have to be tried before it is known which slot the others need.
func (c *connecting) run(ctx context.Context, candidates []balance.Candidate) outcome {
	for {
		p, o := c.place(ctx, candidates)
		c.unheard.Begin() // not while it waited for a place
		switch {
		case o != answered:
			return o
		case p.up != nil:
			i := slices.IndexFunc(candidates, func(one balance.Candidate) bool { return one.Address == p.up.target.address })
			c.t.up, c.t.use, c.t.reused = p.up, candidates[i].Take(), true
			if c.t.use != nil {
				return answered
			}
			if candidates = slices.Delete(candidates, i, i+1); c.crowded(len(candidates)) {
				return overflow
			}
			continue
		}
		n := c.together(candidates, p.slot)
		o = c.dial(ctx, p, candidates[:n])
		if o != answered {
			c.pool.dialed(p.mine)
		}
		if o != noCandidate && o != overflow || n == len(candidates) || time.Until(c.until) <= 0 {
			return o
		}
		candidates = candidates[n:]
	}
}

// crowded returns a connection to an endpoint that got too many calls while this one waited. It is true when no other candidate is left.
func (c *connecting) crowded(others int) bool {
	c.t.up.client.Release()
	c.pool.put(c.t.up, c.t.up.keep)
	c.t.up, c.t.reused, c.t.err = nil, false, balance.ErrFull
	return others == 0
}

// together is how many candidates can be tried with a slot, or without one if a peer comes first.
func (c *connecting) together(candidates []balance.Candidate, slot *slots.Slot) int {
	switch {
	case slot != nil && slot.Bound():
		return 1
	case slot == nil && c.policy.Pool.MaxConnections > 0:
		if i := slices.IndexFunc(candidates, func(one balance.Candidate) bool { return one.Peer == "" }); i > 0 {
			return i
		}
	}
	return len(candidates)
}

func (c *connecting) target(one *balance.Candidate) target {
	t := target{key: c.front.from.Key, address: one.Address, h2: c.h2}
	if one.Peer != "" && !one.HTTP {
		t.caller = c.call.address
	}
	return t
}

// place is a kept connection to the candidate that comes first, or what a new one needs.
func (c *connecting) place(ctx context.Context, candidates []balance.Candidate) (place, outcome) {
	w := want{
		target: c.target(&candidates[0]), tls: candidates[0].TLS, fresh: c.fresh,
		limit: c.policy.Pool.MaxConnections, pending: &c.pending, mostPending: c.policy.Pool.MaxPending,
	}
	if w.isLimited() && c.call.affinity == 0 {
		w.others = equals(candidates)
	}
	p := c.pool.acquire(w)
	if p.dialing != nil {
		select {
		case <-p.dialing.done:
		case <-ctx.Done():
			return place{}, clientGone
		}
		w.hasWaited = true
		c.until = time.Now().Add(c.cfg.Budget) // for its own connection, if it needs one
		p = c.pool.acquire(w)
	}
	switch {
	case p.overflow:
		c.cfg.LimitMet(c.front.from.Service, limitPending)
		return place{}, overflow
	case p.waiter != nil:
		return c.await(ctx, w, p.waiter)
	}
	return p, answered
}

// equals are the endpoints that serve a request as well as the first one.
func equals(candidates []balance.Candidate) []balance.Address {
	var out []balance.Address
	for i := range candidates[1:] {
		if one := &candidates[i+1]; one.Peer == "" && one.IsLike(&candidates[0]) {
			out = append(out, one.Address)
		}
	}
	return out
}

// await waits in the queue.
func (c *connecting) await(ctx context.Context, w want, waiter *slots.Waiter) (place, outcome) {
	timer := time.NewTimer(time.Until(c.until))
	defer timer.Stop()
	for {
		select {
		case <-waiter.Ready():
			return c.pool.given(w.key, waiter), answered
		case <-waiter.Look():
			c.pool.serve(w.key)
			continue
		case <-ctx.Done():
			c.pool.leave(w.key, waiter)
			return place{}, clientGone
		case <-timer.C:
		}
		c.pool.leave(w.key, waiter)
		c.t.err = errNoSlot
		c.cfg.LimitMet(c.front.from.Service, limitPending)
		return place{}, overflow
	}
}

// dial makes a new connection, whose slot is released where a peer takes the request.
func (c *connecting) dial(ctx context.Context, p place, candidates []balance.Candidate) outcome {
	from, slot := &c.front.from, p.slot
	conn, attempts, err := c.cfg.Dialer.Connect(ctx, &dial.Request{
		Key: from.Key, Caller: c.call.address, CallerLocality: c.call.locality, HTTP: true, H2: c.h2, Eager: !c.waits,
		Budget: time.Until(c.until), Life: from.life, Attempts: from.attempts,
	}, candidates)
	for i := range attempts {
		if attempts[i].Result != dial.Accepted { // the try follows
			c.entry.Attempts = append(c.entry.Attempts, attempts[i])
		}
	}
	if err != nil {
		slot.Close()
		if c.t.err = err; errors.Is(err, balance.ErrFull) {
			return overflow
		}
		return noCandidate
	}
	switch {
	case conn.Peer != "":
		slot.Close()
		slot = nil
	case slot == nil: // a peer came first
		slot = c.pool.slots.Count(from.Key, conn.Address)
	default:
		slot.Move(conn.Address)
	}
	return c.speak(ctx, conn, slot, p.mine)
}

// speak speaks HTTP on a new connection.
func (c *connecting) speak(ctx context.Context, conn *dial.Conn, slot *slots.Slot, mine *dialing) outcome {
	to := c.target(&conn.Candidate)
	up, err := c.clientConn(ctx, to, conn, slot)
	if err == nil {
		if err = up.client.Reserve(); err == nil {
			up.keep, up.most, up.requests = to.keep(c.policy.Pool.IdleTimeout), c.policy.Pool.MaxPerConnection, 1
			up.idle = up.keep
			c.pool.offer(up, mine)
			c.t.up, c.t.use = up, conn.Use
			if conn.Pending {
				c.t.pending = conn
			}
			return answered
		}
		up.close()
	}
	slot.Close()
	// It accepted and was gone at once: nothing of the request was sent.
	c.tried.Add(conn.Address)
	var blame balance.Outcome
	if conn.Peer == "" && ctx.Err() == nil {
		blame.Failure = balance.BrokenAnswer
	}
	conn.Use.Done(blame)
	c.t.err = err
	return notExecuted
}
