package tally

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Book has a Tally for each of many kinds of event, and forgets those that are over. The zero value is ready to use, by any number of
// goroutines.
type Book[K comparable] struct {
	mu  sync.Mutex
	met map[K]*Tally
}

// Note counts n events of a kind. It returns how many to log now; 0: write no log line.
func (b *Book[K]) Note(now time.Time, k K, n uint64) (due uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.met[k] == nil {
		b.forgetLocked(now)
		b.met[k] = new(Tally)
	}
	return b.met[k].Note(now, n)
}

func (b *Book[K]) forgetLocked(now time.Time) {
	if b.met == nil {
		b.met = make(map[K]*Tally)
	}
	for k, t := range b.met {
		if t.Over(now) {
			delete(b.met, k)
		}
	}
}

// Problems are the events that status shows, sorted: what happened, how often, and what to do, as text describes the kind.
func (b *Book[K]) Problems(now time.Time, text func(K) (what, remedy string)) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forgetLocked(now)
	var out []string
	for k, t := range b.met {
		what, remedy := text(k)
		out = append(out, fmt.Sprintf("%s (%d×, last %v ago): %s", what, t.Recent, now.Sub(t.Last).Truncate(time.Second), remedy))
	}
	slices.Sort(out)
	return out
}
