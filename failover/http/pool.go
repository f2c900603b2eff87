package http

import (
	"slices"
	"sync"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/slots"
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
	dialing map[target]*dialing
	// slots counts the connections to own endpoints. It is called with the pool's lock held, and never calls back.
	slots *slots.Table
	// handed are the connections that requests got that wait.
	handed map[*slots.Waiter]*upstream
}

func newPool(s *slots.Table) *pool {
	return &pool{
		kept: make(map[target][]*upstream), armed: make(map[*upstream]struct{}), dialing: make(map[target]*dialing),
		slots: s, handed: make(map[*slots.Waiter]*upstream),
	}
}

// takeLocked returns a kept connection to t with a place for a request, nil if there is none. What has another TLS leaves. The lock is held.
func (p *pool) takeLocked(t target, secure *discovery.TLS) *upstream {
	for _, u := range slices.Backward(p.kept[t]) { // removing the last leaves the others in place
		if !u.at.TLS.Equal(secure) || u.wire.retired() {
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
		p.use(u)
		return u
	}
	return nil
}

// use counts a request on a connection with a reserved place. The lock is held.
func (p *pool) use(u *upstream) {
	if u.requests++; !u.target.h2 || u.worn() {
		p.remove(u)
	}
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

// dialing is an HTTP/2 connection that a request makes.
type dialing struct {
	to   target
	done chan struct{} // closed when others may look for it
}

// dialed ends the wait of others for a connection. It may be called again; nil is a connection that nothing waits for.
func (p *pool) dialed(d *dialing) {
	if d == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dialing[d.to] == d {
		close(d.done)
		delete(p.dialing, d.to)
	}
}

// share offers a new HTTP/2 connection to other requests while it has its first.
func (p *pool) share(u *upstream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u.target.h2 && !u.worn() && !p.closed && len(p.kept[u.target]) < u.target.mostIdle() {
		p.kept[u.target] = append(p.kept[u.target], u)
		p.serveLocked(u.target.key)
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
	switch {
	case u.target.h2 && u.client.Err() != nil:
		p.remove(u)
		u.close()
		return
	case u.target.h2 && u.idle <= 0:
		p.remove(u)
	case u.target.h2: // kept already, if others may have it
	case u.client.Available() == 0, u.idle <= 0, len(p.kept[u.target]) >= u.target.mostIdle():
		u.close()
		return
	case p.handOver(u):
		return
	default:
		p.kept[u.target] = append(p.kept[u.target], u)
	}
	u.since = time.Now()
	p.arm(u)
	p.serveLocked(u.target.key)
}

// arm has u looked at when it may have been unused for its time.
func (p *pool) arm(u *upstream) {
	p.disarm(u)
	if d := max(u.idle, leaveTime); u.timer == nil {
		u.timer = time.AfterFunc(d, func() { p.expire(u) })
	} else {
		u.timer.Reset(d)
	}
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

// offer shares a new connection with others as soon as it is known how many requests it takes, and then ends their wait. An endpoint that does
// not tell gets other connections.
func (p *pool) offer(u *upstream, mine *dialing) {
	if u.wire.first == nil {
		p.share(u)
		p.dialed(mine)
		return
	}
	timer := time.AfterFunc(settingsTime, func() { p.dialed(mine) })
	u.wire.first.WhenOver(func(ok bool) {
		timer.Stop()
		if ok {
			p.share(u)
		}
		p.dialed(mine)
	})
}
