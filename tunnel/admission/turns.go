package admission

import (
	"context"
	"errors"
	"runtime"
	"slices"
)

// ErrLost means that a connection lost its place to another one.
var ErrLost = errors.New("tunnel: another connection needs its place")

// turns are the places' times to compute: what handshakes take of the cores is bounded by how many compute at once, however many there
// are. Those of sources from which a peer has authenticated lately go first, then those that have waited longest.
type turns struct {
	taken   int
	waiting [2][]*Place // known sources, strangers
}

// turn is a place's.
type turn struct {
	granted, waits bool
	// over is closed when the place no longer waits.
	over chan struct{}
}

// mostTurns leaves half of the cores to everything else.
func mostTurns() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// take gives a place a turn if less than most are taken, or makes it wait for one. It keeps the one that it has.
func (t *turns) take(p *Place, most int) {
	if p.turn.granted {
		return
	}
	p.turn = turn{waits: true, over: make(chan struct{})}
	q := t.queue(p)
	*q = append(*q, p)
	t.next(most)
}

// end takes a place's turn back, or ends its waiting.
func (t *turns) end(p *Place, most int) {
	if p.turn.waits {
		q := t.queue(p)
		i := slices.Index(*q, p)
		*q = slices.Delete(*q, i, i+1)
		p.turn.waits = false
		close(p.turn.over)
	}
	if p.turn.granted {
		p.turn.granted = false
		t.taken--
	}
	t.next(most)
}

// next gives away what is free.
func (t *turns) next(most int) {
	for i := range t.waiting {
		q := &t.waiting[i]
		for len(*q) > 0 && t.taken < most {
			p := (*q)[0]
			*q = slices.Delete(*q, 0, 1)
			t.taken++
			p.turn.granted, p.turn.waits = true, false
			close(p.turn.over)
		}
	}
}

func (t *turns) queue(p *Place) *[]*Place {
	if p.known {
		return &t.waiting[0]
	}
	return &t.waiting[1]
}

// Turn waits until the connection may compute. It has one turn at a time, and must give it back with Yield.
func (t *Table) Turn(ctx context.Context, p *Place) error {
	t.mu.Lock()
	if p.lost {
		t.mu.Unlock()
		return ErrLost
	}
	t.turns.take(p, mostTurns())
	over := p.turn.over
	t.mu.Unlock()
	select {
	case <-over:
	case <-ctx.Done():
		t.Yield(p)
		return ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !p.turn.granted {
		return ErrLost
	}
	return nil
}

// Yield gives the turn back; without one it does nothing.
func (t *Table) Yield(p *Place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turns.end(p, mostTurns())
}
