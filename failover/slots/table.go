package slots

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/eastway/eastway/failover/balance"
)

// Table has the connections and the waiting requests of all service ports. It remembers a port while it has any. The zero value is
// ready to use.
type Table struct {
	// mu is held for moments, and nothing is called with it held: connections are closed while other locks are.
	mu    sync.Mutex
	ports map[balance.Key]*port
}

// room is what a slot takes.
type room int

const (
	ordinary room = iota
	extra
)

// Slot is what a connection has while it is open, or is being made.
type Slot struct {
	table  *Table
	key    balance.Key
	room   room
	closed atomic.Bool
	at     balance.Address // guarded by the table's lock
}

func (t *Table) slot(k balance.Key, at balance.Address, room room) *Slot {
	return &Slot{table: t, key: k, at: at, room: room}
}

// port returns that of a key, which is forgotten by release when it is unused. The lock is held.
func (t *Table) port(k balance.Key) *port {
	p := t.ports[k]
	if p == nil {
		if t.ports == nil {
			t.ports = make(map[balance.Key]*port)
		}
		p = new(port)
		t.ports[k] = p
	}
	return p
}

// with calls f with the port of a key.
func (t *Table) with(k balance.Key, f func(*port)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.port(k)
	if f(p); p.unused() {
		delete(t.ports, k)
	}
}

// Take is a slot for a connection that carries no requests and does not wait; nil: there are as many as the limit, 0 of which is any
// number.
func (t *Table) Take(k balance.Key, limit int) (s *Slot) {
	t.with(k, func(p *port) {
		if p.set(limit); p.free() {
			p.add(balance.Address{}) // which endpoint it will be is not known
			s = t.slot(k, balance.Address{}, ordinary)
		}
	})
	return s
}

// Close ends the connection. It may be called again. A nil Slot is that of a connection that is not counted.
func (s *Slot) Close() {
	if s == nil || s.closed.Swap(true) {
		return
	}
	s.table.with(s.key, func(p *port) { p.remove(s.at) })
}

// Move is called when the connection is to another endpoint than the slot was for. A slot that is Bound stays where it is.
func (s *Slot) Move(to balance.Address) {
	s.table.with(s.key, func(p *port) {
		if s.at != to {
			p.move(s.at, to)
			s.at = to
		}
	})
}

// Bound is true for a slot that is for connections to its endpoint alone.
func (s *Slot) Bound() bool { return s.room == extra }

// Nudge has a request that waits look for a place once more, as an HTTP/2 connection may have one.
func (s *Slot) Nudge() {
	if s == nil {
		return
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	p := s.table.ports[s.key]
	if p == nil {
		return
	}
	for _, w := range p.queue {
		if w.kind.H2 {
			select {
			case w.look <- struct{}{}:
			default: // it has not looked yet
			}
			return
		}
	}
}

// Begin counts a request that has no connection yet, until End; false: there are as many as the limit.
func (t *Table) Begin(k balance.Key, limit int) (ok bool) {
	t.with(k, func(p *port) {
		if ok = p.pending < limit; ok {
			p.pending++
		}
	})
	return ok
}

// End is called when the request has a connection, or none.
func (t *Table) End(k balance.Key) { t.with(k, func(p *port) { p.pending-- }) }

// Open is a slot for a connection to an endpoint, nil when there are as many as the limit, 0 of which is any number.
func (t *Table) Open(k balance.Key, limit int, at balance.Address) (s *Slot) {
	t.with(k, func(p *port) {
		p.set(limit)
		if room, ok := p.open(at); ok {
			s = t.slot(k, at, room)
		}
	})
	return s
}

// Count is a slot for a connection that is there, whatever the limit.
func (t *Table) Count(k balance.Key, at balance.Address) *Slot {
	t.with(k, func(p *port) { p.add(at) })
	return t.slot(k, at, ordinary)
}

// Connections is how many connections there are.
func (t *Table) Connections(k balance.Key) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.ports[k]; p != nil {
		return p.total
	}
	return 0
}

// Pending is how many requests have no connection yet.
func (t *Table) Pending(k balance.Key) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.ports[k]; p != nil {
		return p.pending
	}
	return 0
}

// Has is true while requests wait for a place.
func (t *Table) Has(k balance.Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.ports[k]
	return p != nil && len(p.queue) > 0
}

// Excess is true while there are more connections than the limit, which was lowered.
func (t *Table) Excess(k balance.Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.ports[k]
	return p != nil && p.excess()
}

// Addresses are the endpoints to which there are connections.
func (t *Table) Addresses(k balance.Key) []balance.Address {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.ports[k]
	if p == nil {
		return nil
	}
	return slices.Collect(maps.Keys(p.at))
}
