package http

import (
	"slices"
	"sync"
	"time"
)

// pool keeps connections that are not in use, and those of HTTP/2 that can take more requests. Each request reserves its
// place on a connection.
type pool struct {
	mu     sync.Mutex
	closed bool
	idle   map[target][]*upstream // the newest last
}

func newPool() *pool { return &pool{idle: make(map[target][]*upstream)} }

// take returns a connection to t with a place for a request, nil if there is none.
func (p *pool) take(t target) *upstream {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range slices.Backward(slices.Clone(p.idle[t])) {
		if u.client.Reserve() != nil {
			if u.client.Err() != nil || !t.h2 {
				p.remove(u)
				u.close()
			}
			continue
		}
		if t.h2 {
			u.timer.Stop()
		} else {
			p.remove(u)
		}
		return u
	}
	return nil
}

// put keeps u for the next request, when one has ended on it.
func (p *pool) put(u *upstream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.has(u)
	switch {
	case p.closed, u.client.Err() != nil, u.idle <= 0, !u.target.h2 && !u.usable(),
		!kept && len(p.idle[u.target]) >= maxIdlePerTarget:
		if kept {
			p.remove(u)
		}
		if !u.target.h2 || u.client.InFlight() == 0 {
			u.close()
		}
		return
	}
	if !kept {
		p.idle[u.target] = append(p.idle[u.target], u)
	}
	if u.client.InFlight() > 0 {
		return
	}
	if u.timer == nil {
		u.timer = time.AfterFunc(u.idle, func() { p.expire(u) })
	} else {
		u.timer.Reset(u.idle)
	}
}

// expire closes a connection that was not used.
func (p *pool) expire(u *upstream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.has(u) && u.client.InFlight() == 0 {
		p.remove(u)
		u.close()
	}
}

// close closes what is not in use, and from here on what comes back.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for t, list := range p.idle {
		delete(p.idle, t)
		for _, u := range list {
			u.timer.Stop()
			if u.client.InFlight() == 0 {
				u.close()
			}
		}
	}
}

func (p *pool) has(u *upstream) bool {
	return slices.Contains(p.idle[u.target], u)
}

// remove takes u out; the lock is held.
func (p *pool) remove(u *upstream) {
	list := slices.DeleteFunc(p.idle[u.target], func(o *upstream) bool { return o == u })
	if len(list) == 0 {
		delete(p.idle, u.target)
	} else {
		p.idle[u.target] = list
	}
	if u.timer != nil {
		u.timer.Stop()
	}
}
