package slots

import (
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/balance"
)

// Kind is what tells connections to an endpoint apart: a request needs one of its own kind.
type Kind struct {
	H2 bool
	// TLS is what is added; nil: nothing.
	TLS *discovery.TLS
}

func (k Kind) serves(o Kind) bool { return k.H2 == o.H2 && k.TLS.Equal(o.TLS) }

// Waiter is a request in the queue of a service port.
type Waiter struct {
	table *Table
	key   balance.Key
	// wants are the endpoints whose connections serve it; the first one is that to which it makes one.
	wants []balance.Address
	kind  Kind
	ready chan struct{} // closed once it has left the queue with a slot or a connection
	look  chan struct{}
	slot  *Slot // that it was given; nil: it got a connection
}

// Wait puts a request into the queue. Any connection of its kind to one of wants serves it; a slot that it gets is for the first one. It
// is Ready at once if there is a slot now.
func (t *Table) Wait(k balance.Key, wants []balance.Address, kind Kind) *Waiter {
	w := &Waiter{table: t, key: k, wants: wants, kind: kind, ready: make(chan struct{}), look: make(chan struct{}, 1)}
	t.with(k, func(p *port) { p.wait(w) })
	return w
}

// Ready is closed when it has a slot, or a connection by Next.
func (w *Waiter) Ready() <-chan struct{} { return w.ready }

// Look gets a value when an HTTP/2 connection may have a place for it, or for one behind it.
func (w *Waiter) Look() <-chan struct{} { return w.look }

// Slot is what it has when it is Ready; nil: a connection.
func (w *Waiter) Slot() *Slot { return w.slot }

// Quit takes it out of the queue; false: it is Ready.
func (w *Waiter) Quit() (ok bool) {
	w.table.with(w.key, func(p *port) { ok = p.quit(w) })
	return ok
}

// Next takes the first out of the queue that a connection of that kind to the endpoint serves, nil if there is none. The caller gives it the
// connection and then calls Give.
func (t *Table) Next(k balance.Key, at balance.Address, kind Kind) (w *Waiter) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.ports[k]; p != nil {
		w = p.next(at, kind)
	}
	return w
}

// Give makes a Waiter of Next Ready.
func (w *Waiter) Give() { close(w.ready) }
