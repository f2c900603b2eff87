package http

import (
	"slices"
	"sync"
	"time"
)

// pool keeps connections that are not in use, and those of HTTP/2, which take several requests at a time. Each request reserves its
// place on a connection.
type pool struct {
	mu     sync.Mutex
	closed bool
	kept   map[target][]*upstream // the newest last
	// armed are those whose timer runs, kept or not.
	armed map[*upstream]struct{}
	// dialing are HTTP/2 connections that are being made: one at a time for each target.
	dialing map[target]chan struct{}
}

func newPool() *pool {
	return &pool{kept: make(map[target][]*upstream), armed: make(map[*upstream]struct{}), dialing: make(map[target]chan struct{})}
}

// take returns a connection to t with a place for a request. Without one, the caller makes a new connection and then calls dialed, or,
// if wait is not nil, waits for another one to do so.
func (p *pool) take(t target) (u *upstream, wait <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range slices.Backward(p.kept[t]) { // removing the last leaves the others in place
		if u.wire.retired() {
			p.retire(u)
			continue
		}
		if u.client.Reserve() != nil {
			if u.client.Err() != nil || !t.h2 {
				p.remove(u)
				u.close()
			}
			continue
		}
		if u.requests++; !t.h2 || u.worn() {
			p.remove(u)
		}
		return u, nil
	}
	if !t.h2 {
		return nil, nil
	}
	if c := p.dialing[t]; c != nil {
		return nil, c
	}
	p.dialing[t] = make(chan struct{})
	return nil, nil
}

// retire keeps u for the requests that are under way on it. The lock is held.
func (p *pool) retire(u *upstream) {
	p.remove(u)
	u.idle = 0
	if u.client.InFlight() == 0 {
		u.close()
		return
	}
	p.arm(u) // net/http may count a request for a while that was the last one
}

// dialed ends the wait of others that take has begun.
func (p *pool) dialed(t target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.dialing[t]; c != nil {
		close(c)
		delete(p.dialing, t)
	}
}

// share offers a new HTTP/2 connection to other requests while it has its first.
func (p *pool) share(u *upstream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u.target.h2 && !u.worn() && !p.closed && len(p.kept[u.target]) < u.target.mostIdle() {
		p.kept[u.target] = append(p.kept[u.target], u)
	}
}

// put takes back a connection on which a request has ended; the endpoint keeps it for so long at most.
func (p *pool) put(u *upstream, atMost time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		u.close()
		return
	}
	if u.wire.retired() {
		p.retire(u)
		return
	}
	if u.worn() {
		atMost = 0
	}
	u.idle = min(u.idle, atMost)
	shared := slices.Contains(p.kept[u.target], u)
	if !u.target.h2 {
		if u.client.Available() == 0 || u.idle <= 0 || len(p.kept[u.target]) >= u.target.mostIdle() {
			u.close()
			return
		}
		p.kept[u.target] = append(p.kept[u.target], u)
	} else if shared && (u.client.Err() != nil || u.idle <= 0) {
		p.remove(u)
	}
	p.arm(u)
}

// arm has u looked at when it may have been unused for its time.
func (p *pool) arm(u *upstream) {
	p.disarm(u)
	u.timer = time.AfterFunc(max(u.idle, leaveTime), func() { p.expire(u) })
	p.armed[u] = struct{}{}
}

func (p *pool) disarm(u *upstream) {
	if u.timer != nil {
		u.timer.Stop()
	}
	delete(p.armed, u)
}

// expire closes a connection that was not used. net/http may count a request for a while that has ended.
func (p *pool) expire(u *upstream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := slices.Contains(p.kept[u.target], u)
	if !u.target.h2 && !kept {
		return // a request has it
	}
	if u.client.Err() == nil && u.client.InFlight() > 0 {
		p.arm(u)
		return
	}
	p.remove(u)
	u.close()
}

// close closes all connections, and from here on what comes back. No request is under way.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, list := range p.kept {
		for _, u := range list {
			p.disarm(u)
			u.close()
		}
	}
	for u := range p.armed { // HTTP/2: no longer kept
		p.disarm(u)
		u.close()
	}
	clear(p.kept)
}

// remove takes u out; the lock is held.
func (p *pool) remove(u *upstream) {
	list := slices.DeleteFunc(p.kept[u.target], func(o *upstream) bool { return o == u })
	if len(list) == 0 {
		delete(p.kept, u.target)
	} else {
		p.kept[u.target] = list
	}
	p.disarm(u)
}
