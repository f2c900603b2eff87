package failover

import (
	"context"
	"errors"
	"sync"
)

// Reasons not to take a connection, or to end one.
var (
	errTooMany  = errors.New("too many connections")
	errDraining = errors.New("the proxy is draining")
	errStopped  = errors.New("the proxy is stopping")
)

// registry knows every connection in flight, so that they can be counted, bounded, waited for and ended.
type registry struct {
	mu       sync.Mutex
	conns    map[*tracked]struct{}
	perOwner map[string]int // by listener address or peer
	outbound int
	// refuse is why no new ones are taken; nil while they are.
	refuse error
	// empty is closed when the last one ends; made by whoever waits.
	empty chan struct{}
}

// tracked is one connection in flight.
type tracked struct {
	cancel context.CancelCauseFunc
	owner  string
	out    bool
}

func newRegistry() *registry {
	return &registry{
		conns: make(map[*tracked]struct{}), perOwner: make(map[string]int),
		refuse: errDraining, // until Run
	}
}

// add takes in a connection, up to perOwner of its owner, and up to all outbound ones together.
// Its context ends when the registry aborts.
func (r *registry) add(ctx context.Context, owner string, out bool, perOwner, all int) (context.Context, *tracked, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.refuse != nil:
		return nil, nil, r.refuse
	case r.perOwner[owner] >= perOwner, out && r.outbound >= all:
		return nil, nil, errTooMany
	}
	ctx, cancel := context.WithCancelCause(ctx)
	t := &tracked{cancel: cancel, owner: owner, out: out}
	r.conns[t] = struct{}{}
	r.perOwner[owner]++
	if out {
		r.outbound++
	}
	return ctx, t, nil
}

func (r *registry) remove(t *tracked) {
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

// refuseNew refuses new connections for that reason; nil takes them again.
func (r *registry) refuseNew(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = err
}

func (r *registry) refusing() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refuse
}

// idle is closed once there is no connection.
func (r *registry) idle() <-chan struct{} {
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

// abort ends all connections.
func (r *registry) abort(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for t := range r.conns {
		t.cancel(why)
	}
}
