package server

import (
	"net/netip"
	"sync"
)

// table holds the TCP connections, at most so many of all clients and of each. The newest connection is always admitted: one that stalls
// costs its own client first.
type table[C comparable] struct {
	most, perClient int

	mu      sync.Mutex
	clients map[netip.Prefix][]C // the oldest first
	count   int
}

func newTable[C comparable](most, perClient int) *table[C] {
	return &table[C]{most: most, perClient: perClient, clients: make(map[netip.Prefix][]C)}
}

// add returns the connection that lost its place, if there is one: the oldest of the client if it has too many, else of that with the most.
func (t *table[C]) add(client netip.Prefix, c C) (victim C, lost bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := client
	switch {
	case len(t.clients[client]) >= t.perClient:
		lost = true
	case t.count >= t.most:
		lost = true
		for other, conns := range t.clients {
			if len(conns) > len(t.clients[from]) {
				from = other
			}
		}
	}
	if lost {
		victim = t.clients[from][0]
		t.removeLocked(from, victim)
	}
	t.clients[client] = append(t.clients[client], c)
	t.count++
	return victim, lost
}

// remove ignores a connection that has lost its place.
func (t *table[C]) remove(client netip.Prefix, c C) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removeLocked(client, c)
}

func (t *table[C]) removeLocked(client netip.Prefix, c C) {
	conns := t.clients[client]
	for i := range conns {
		if conns[i] == c {
			t.count--
			t.clients[client] = append(conns[:i:i], conns[i+1:]...)
			break
		}
	}
	if len(t.clients[client]) == 0 {
		delete(t.clients, client)
	}
}

func (t *table[C]) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}
