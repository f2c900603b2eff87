// Package registry knows every connection in flight, so that a proxy can count,
// bound, drain and end them. It knows no protocol.
package registry

import (
	"context"
	"errors"
	"sync"
)

// Reasons not to take a connection, or to end one.
var (
	ErrTooMany  = errors.New("too many connections")
	ErrDraining = errors.New("the proxy is draining")
	ErrStopped  = errors.New("the proxy is stopping")
	ErrDenied   = errors.New("a rule denies it by now")
)

// Registry knows every connection in flight, so that they can be counted, bounded, waited for and ended.
type Registry struct {
	mu       sync.Mutex
	conns    map[*Tracked]struct{}
	perOwner map[string]int // by listener address or peer
	outbound int
	// refuse is why no new ones are taken; nil while they are.
	refuse error
	// empty is closed when the last one ends; made by the first that waits.
	empty chan struct{}
}

// Tracked is one connection in flight.
type Tracked struct {
	cancel context.CancelCauseFunc
	owner  string
	out    bool
}

// End ends the connection for that reason.
func (t *Tracked) End(why error) { t.cancel(why) }

// New makes a Registry that refuses with ErrDraining until Refuse(nil).
func New() *Registry {
	return &Registry{
		conns: make(map[*Tracked]struct{}), perOwner: make(map[string]int),
		refuse: ErrDraining, // until Run
	}
}

// Add takes in a connection, up to perOwner of its owner, and up to all outbound ones together.
// Its context ends when the registry aborts.
func (r *Registry) Add(ctx context.Context, owner string, out bool, perOwner, all int) (context.Context, *Tracked, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.refuse != nil:
		return nil, nil, r.refuse
	case r.perOwner[owner] >= perOwner, out && r.outbound >= all:
		return nil, nil, ErrTooMany
	}
	ctx, cancel := context.WithCancelCause(ctx)
	t := &Tracked{cancel: cancel, owner: owner, out: out}
	r.conns[t] = struct{}{}
	r.perOwner[owner]++
	if out {
		r.outbound++
	}
	return ctx, t, nil
}

// Remove takes a connection out that has ended.
func (r *Registry) Remove(t *Tracked) {
	t.cancel(nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, t)
	if r.perOwner[t.owner]--; r.perOwner[t.owner] == 0 {
		delete(r.perOwner, t.owner)
	}
	if t.out {
		r.outbound--
	}
	if len(r.conns) == 0 && r.empty != nil {
		close(r.empty)
		r.empty = nil
	}
}

// Refuse refuses new connections for that reason; nil takes them again.
func (r *Registry) Refuse(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = err
}

// Refusing is why new connections are refused; nil while they are taken.
func (r *Registry) Refusing() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refuse
}

// Idle is closed once there is no connection.
func (r *Registry) Idle() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.empty == nil {
		r.empty = make(chan struct{})
		if len(r.conns) == 0 {
			done := r.empty
			r.empty = nil
			close(done)
			return done
		}
	}
	return r.empty
}

// Abort ends all connections.
func (r *Registry) Abort(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for t := range r.conns {
		t.cancel(why)
	}
}

// Len is the number of connections in flight.
func (r *Registry) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}
