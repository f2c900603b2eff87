package transport

import (
	"errors"
	"sync/atomic"
)

// ErrMemory ends a stream whose unread bytes its Budget has no room for.
var ErrMemory = errors.New("tunnel: what the peer sent and was not read takes all memory that one peer may take")

// Budget is what all sessions of one peer take together. It bounds the memory for what was received and not read; a nil one bounds
// nothing. It is safe for concurrent use.
type Budget struct {
	limit int64
	used  atomic.Int64
	// Streams is for the sessions' user to count: open ones of both sides, and those of the peer without a whole header.
	Streams atomic.Int64
}

// NewBudget returns one of so many bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Used is how much is taken, in bytes.
func (b *Budget) Used() int64 { return b.used.Load() }

// Limit is how much can be, in bytes.
func (b *Budget) Limit() int64 { return b.limit }

// take takes n bytes for a stream that has held of them; false: there is no room. A stream may have as much as is left beside it,
// which is how switches share their buffers (dynamic thresholds): the streams with the most meet the bound first, and a small one
// has room beside any number of large ones.
func (b *Budget) take(n, held int) bool {
	if b == nil {
		return true
	}
	for {
		used := b.used.Load()
		if int64(held)+int64(n) > b.limit-used {
			return false
		}
		if b.used.CompareAndSwap(used, used+int64(n)) {
			return true
		}
	}
}

// put gives n bytes back.
func (b *Budget) put(n int) {
	if b != nil {
		b.used.Add(-int64(n))
	}
}

// spare is what a new window may promise, in bytes: promises are not taken, so only a part of what is left.
func (b *Budget) spare(most int) int {
	if b == nil {
		return most
	}
	return int(min(int64(most), max(b.limit-b.used.Load(), 0)/4))
}
