package slots

import (
	"slices"

	"github.com/eastway/eastway/failover/balance"
)

// port counts the connections of one service port, and has the requests that wait, the oldest first. It has no lock of its own.
//
// A connection has an ordinary slot, of which there are as many as the limit, or the extra slot of its endpoint: an endpoint without a
// connection gets one beyond the limit, as in Envoy, so that connections to other endpoints cannot keep requests from it for ever.
type port struct {
	limit int // of connections, as of the newest call; 0: any number
	total int
	at    map[balance.Address]int
	// pending is how many requests have no connection yet, those in the queue included.
	pending int
	queue   []*Waiter
}

// set takes over the limit of the newest call. A higher one gives slots to those that wait.
func (p *port) set(limit int) {
	p.limit = limit
	p.grant()
}

// free is true while there is an ordinary slot.
func (p *port) free() bool { return p.limit == 0 || p.total < p.limit }

// open takes a slot for a connection to a.
func (p *port) open(a balance.Address) (room, bool) {
	switch {
	case p.free():
		p.add(a)
		return ordinary, true
	case p.at[a] == 0:
		p.add(a)
		return extra, true
	}
	return 0, false
}

// add counts a connection to a; the zero address is an endpoint that is not known.
func (p *port) add(a balance.Address) {
	p.total++
	if a == (balance.Address{}) {
		return
	}
	if p.at == nil {
		p.at = make(map[balance.Address]int, 1)
	}
	p.at[a]++
}

// remove ends a connection, whose slot goes to the first in the queue that may have it.
func (p *port) remove(a balance.Address) {
	p.total--
	p.leave(a)
	p.grant()
	p.grantExtra(a)
}

func (p *port) leave(a balance.Address) {
	if p.at[a] > 1 {
		p.at[a]--
	} else {
		delete(p.at, a)
	}
}

// move changes the endpoint of a connection with an ordinary slot.
func (p *port) move(from, to balance.Address) {
	p.total--
	p.leave(from)
	p.add(to)
	p.grantExtra(from)
}

// wait adds w to the queue.
func (p *port) wait(w *Waiter) {
	p.queue = append(p.queue, w)
	p.grant()
	p.grantExtra(w.wants[0])
}

// grant gives ordinary slots to the queue.
func (p *port) grant() {
	for len(p.queue) > 0 && p.free() {
		w := p.queue[0]
		p.queue = p.queue[1:]
		p.give(w, ordinary)
	}
}

// grantExtra gives the extra slot of an endpoint that has no connection now.
func (p *port) grantExtra(a balance.Address) {
	if p.at[a] > 0 {
		return
	}
	if i := slices.IndexFunc(p.queue, func(w *Waiter) bool { return w.wants[0] == a }); i >= 0 {
		w := p.queue[i]
		p.queue = slices.Delete(p.queue, i, i+1)
		p.give(w, extra)
	}
}

func (p *port) give(w *Waiter, r room) {
	p.add(w.wants[0])
	w.slot = w.table.slot(w.key, w.wants[0], r)
	close(w.ready)
}

// next takes the first out of the queue that a connection of that kind to a serves; nil: there is none.
func (p *port) next(a balance.Address, kind Kind) *Waiter {
	i := slices.IndexFunc(p.queue, func(w *Waiter) bool { return kind.serves(w.kind) && slices.Contains(w.wants, a) })
	if i < 0 {
		return nil
	}
	w := p.queue[i]
	p.queue = slices.Delete(p.queue, i, i+1)
	return w
}

// quit takes w out of the queue; false: it is no longer there.
func (p *port) quit(w *Waiter) bool {
	i := slices.Index(p.queue, w)
	if i < 0 {
		return false
	}
	p.queue = slices.Delete(p.queue, i, i+1)
	return true
}

// excess is true while there are more connections than the limit and the extra slots allow: the limit was lowered.
func (p *port) excess() bool { return p.limit > 0 && p.total > p.limit+len(p.at) }

func (p *port) unused() bool { return p.total == 0 && p.pending == 0 && len(p.queue) == 0 }
