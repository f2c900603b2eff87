// Package registry knows every connection in flight, so that a proxy can count,
// bound, drain and end them. It knows no protocol.
package registry

import (
	"context"
	"errors"
	"net/netip"
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
	held     map[holder]int
	outbound int
	inbound  int
	// refuse is why no new ones are taken; nil while they are.
	refuse error
	// empty is closed when the last one ends; made by the first that waits.
	empty chan struct{}
}

// Tracked is one connection in flight.
type Tracked struct {
	cancel context.CancelCauseFunc
	owner  string
	source netip.Prefix
	// service is what a stream is for.
	service string
	out     bool
}

// holder is a source at a listener, or at all of them, or a service that a peer calls, or one of the callers there.
type holder struct {
	owner   string // empty: all
	source  netip.Prefix
	service string
}

// End ends the connection for that reason.
func (t *Tracked) End(why error) { t.cancel(why) }

// New makes a Registry that refuses with ErrDraining until Refuse(nil).
func New() *Registry {
	return &Registry{
		conns: make(map[*Tracked]struct{}), perOwner: make(map[string]int), held: make(map[holder]int),
		refuse: ErrDraining, // until Run
	}
}

// AddOutbound takes in the connection of an application at a listener: up to perListener, and up to all together, of which no source
// may take the last quarter. Its context ends when the registry aborts.
func (r *Registry) AddOutbound(ctx context.Context, at string, from netip.Prefix, perListener, all int) (context.Context, *Tracked, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return nil, nil, r.refuse
	}
	if err := admit(LimitListener, LimitListenerShare, r.perOwner[at], r.held[holder{owner: at, source: from}], perListener); err != nil {
		return nil, nil, err
	}
	if err := admit(LimitProxy, LimitProxyShare, r.outbound, r.held[holder{source: from}], all); err != nil {
		return nil, nil, err
	}
	ctx, t := r.addLocked(ctx, Tracked{owner: at, source: from, out: true})
	return ctx, t, nil
}

// AddInbound takes in a stream: up to perPeer, of which no service may take the last quarter, nor a caller that of a service, and up to all
// of all peers, of which no peer may. Its context ends when the registry aborts.
func (r *Registry) AddInbound(
	ctx context.Context, peer, service string, from netip.Prefix, perPeer, all int,
) (context.Context, *Tracked, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return nil, nil, r.refuse
	}
	used, ofService := r.perOwner[peer], r.held[holder{owner: peer, service: service}]
	if err := admit(LimitPeer, LimitPeerShare, used, ofService, perPeer); err != nil {
		return nil, nil, err
	}
	if err := admitFrom(from, ofService, r.held[holder{owner: peer, service: service, source: from}], perPeer); err != nil {
		return nil, nil, err
	}
	if err := admit(LimitStreams, LimitStreamsShare, r.inbound, used, all); err != nil {
		return nil, nil, err
	}
	ctx, t := r.addLocked(ctx, Tracked{owner: peer, service: service, source: from})
	return ctx, t, nil
}

func (r *Registry) addLocked(ctx context.Context, t Tracked) (context.Context, *Tracked) {
	ctx, t.cancel = context.WithCancelCause(ctx)
	r.conns[&t] = struct{}{}
	r.countLocked(&t, 1)
	return ctx, &t
}

func (r *Registry) countLocked(t *Tracked, n int) {
	add(r.perOwner, t.owner, n)
	if !t.out {
		r.inbound += n
		countInbound(r.held, t.owner, t.service, t.source, n)
		return
	}
	r.outbound += n
	add(r.held, holder{owner: t.owner, source: t.source}, n)
	add(r.held, holder{source: t.source}, n)
}

func countInbound(held map[holder]int, peer, service string, from netip.Prefix, n int) {
	add(held, holder{owner: peer, service: service}, n)
	if from.IsValid() {
		add(held, holder{owner: peer, service: service, source: from}, n)
	}
}

func add[K comparable](m map[K]int, k K, n int) {
	if m[k] += n; m[k] == 0 {
		delete(m, k)
	}
}

// Remove takes a connection out that has ended.
func (r *Registry) Remove(t *Tracked) {
	t.cancel(nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, t)
	r.countLocked(t, -1)
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

// Used is how many connections of applications, and how many streams of peers, are in flight.
func (r *Registry) Used() (outbound, inbound int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outbound, r.inbound
}

// Len is the number of connections in flight.
func (r *Registry) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}
