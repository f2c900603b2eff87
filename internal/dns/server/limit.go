package server

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// action is what becomes of a response over UDP.
type action int

const (
	send     action = iota
	truncate        // send it without answers
	drop
)

// limiter bounds how many responses the clients of a network get in a second: with spoofed queries, an attacker has them sent to a victim.
type limiter struct {
	rate int // 0: without limit

	mu     sync.Mutex
	second int64
	counts map[netip.Prefix]int
	shared [sharedCounts]int // of the networks beyond maxClients
	seed   maphash.Seed
}

func newLimiter(rate int) *limiter {
	return &limiter{rate: rate, counts: make(map[netip.Prefix]int), seed: maphash.MakeSeed()}
}

// network is what is counted: providers assign a /56 and more to one customer.
func network(client netip.Addr) netip.Prefix {
	const bits4, bits6 = 24, 56
	client = client.Unmap().WithZone("")
	bits := bits4
	if client.Is6() {
		bits = bits6
	}
	p, err := client.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

func (l *limiter) take(now time.Time, client netip.Addr) action {
	if l.rate == 0 {
		return send
	}
	of := network(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	if second := now.Unix(); second != l.second {
		clear(l.counts)
		clear(l.shared[:])
		l.second = second
	}
	n, known := l.counts[of]
	if n++; known || len(l.counts) < maxClients {
		l.counts[of] = n
	} else {
		at := &l.shared[maphash.Comparable(l.seed, of)%sharedCounts]
		*at++
		n = *at
	}
	switch {
	case n <= l.rate:
		return send
	case (n-l.rate)%slip == 0:
		return truncate
	default:
		return drop
	}
}
