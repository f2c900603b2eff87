package http

import (
	"slices"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/slots"
)

// want is what a request needs.
type want struct {
	target
	tls *discovery.TLS // that its connection has to have; nil: none
	// others are endpoints whose connections serve it as well, when it cannot have one of its own.
	others []balance.Address
	// fresh: no kept connection.
	fresh bool
	// hasWaited: it has waited for the connection of another request.
	hasWaited bool
	// limit of connections, 0: any number.
	limit int
	// pending is set when the request counts among mostPending.
	pending     *bool
	mostPending int
}

// isLimited is true where the policy limits connections. Those to peers are counted there.
func (w *want) isLimited() bool { return w.limit > 0 && w.address.Peer == "" }

// place is what a request gets: one of up, dialing, waiter and overflow, or else it makes a connection.
type place struct {
	up *upstream
	// slot is that of a new connection to an own endpoint; mine, if others wait for it.
	slot *slots.Slot
	mine *dialing
	// dialing is a connection that another request makes.
	dialing *dialing
	// waiter is the request in the queue for a connection.
	waiter *slots.Waiter
	// overflow: too many requests have no connection.
	overflow bool
}

// acquire finds a place for a request.
func (p *pool) acquire(w want) (out place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !w.fresh {
		if out.up = p.takeLocked(w.target, w.tls); out.up != nil {
			return out
		}
	}
	local := w.address.Peer == ""
	if local && !*w.pending {
		if *w.pending = p.slots.Begin(w.key, w.mostPending); !*w.pending {
			return place{overflow: true}
		}
	}
	other := p.dialing[w.target]
	if other != nil && !w.fresh && !w.hasWaited {
		return place{dialing: other}
	}
	if local {
		if out.slot = p.slots.Open(w.key, w.limit, w.address); out.slot == nil {
			return p.queue(w)
		}
	}
	if w.h2 && !w.fresh && other == nil {
		out.mine = &dialing{to: w.target, done: make(chan struct{})}
		p.dialing[w.target] = out.mine
	}
	return out
}

// queue is for a request for which there is no slot. The lock is held.
func (p *pool) queue(w want) place {
	if !w.fresh {
		for _, a := range w.others {
			if u := p.takeLocked(target{key: w.key, address: a, h2: w.h2}, w.tls); u != nil {
				return place{up: u}
			}
		}
	}
	waiter := p.slots.Wait(w.key, append([]balance.Address{w.address}, w.others...), slots.Kind{H2: w.h2, TLS: w.tls})
	p.serveLocked(w.key)
	return place{waiter: waiter}
}

// given is what a request got that has waited.
func (p *pool) given(k balance.Key, w *slots.Waiter) place {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.handed[w]
	delete(p.handed, w)
	if len(w.Look()) > 0 {
		p.serveLocked(k) // others look in its place
	}
	return place{up: u, slot: w.Slot()}
}

// leave ends a wait; what it was given goes to the next one.
func (p *pool) leave(k balance.Key, w *slots.Waiter) {
	if !w.Quit() {
		got := p.given(k, w)
		got.slot.Close()
		if got.up != nil {
			got.up.client.Release()
			p.put(got.up, got.up.keep)
		}
	}
	p.serve(k) // it may have been its turn to look
}

// serve gives places on HTTP/2 connections to requests that wait. Idle connections that none of them can use are closed, for their slots.
func (p *pool) serve(k balance.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serveLocked(k)
}

func (p *pool) serveLocked(k balance.Key) {
	if !p.slots.Has(k) {
		return
	}
	addresses := p.slots.Addresses(k)
	for _, a := range addresses {
		for _, u := range slices.Clone(p.kept[target{key: k, address: a, h2: true}]) {
			for p.handOver(u) {
			}
		}
	}
	for p.slots.Has(k) {
		u := p.oldestIdle(k, addresses)
		if u == nil {
			return
		}
		p.remove(u)
		u.close()
	}
}

// handOver gives a place on a connection to the first request that it serves; false: there is none. While there are more connections
// than the limit, which was lowered, it is closed instead. The lock is held.
func (p *pool) handOver(u *upstream) bool {
	k := u.target.key
	if u.target.address.Peer != "" {
		return false
	}
	if !u.target.h2 && p.slots.Excess(k) {
		u.close()
		return true
	}
	if !p.slots.Has(k) || u.client.Reserve() != nil {
		return false
	}
	w := p.slots.Next(k, u.target.address, slots.Kind{H2: u.target.h2, TLS: u.at.TLS})
	if w == nil {
		u.client.Release()
		return false
	}
	p.use(u)
	p.handed[w] = u
	w.Give()
	return true
}

// oldestIdle is the connection to one of these addresses that is idle for the longest time. The lock is held.
func (p *pool) oldestIdle(k balance.Key, addresses []balance.Address) (oldest *upstream) {
	for _, a := range addresses {
		for _, h2 := range []bool{false, true} {
			for _, u := range p.kept[target{key: k, address: a, h2: h2}] {
				if (!h2 || u.client.InFlight() == 0) && (oldest == nil || u.since.Before(oldest.since)) {
					oldest = u
				}
			}
		}
	}
	return oldest
}
