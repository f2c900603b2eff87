package journal

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/eastway/eastway/internal/notify"
	"github.com/eastway/eastway/internal/pace"
)

// gatherTime is how long entries are gathered before they are written: a
// reader must not cost a system call per entry.
const gatherTime = 20 * time.Millisecond

// Journal of entries. The zero value is empty and ready to use.
type Journal[T any] struct {
	mu      sync.Mutex
	entries []T
	closed  bool
	changed notify.Broadcast
}

// Add an entry.
func (j *Journal[T]) Add(entry T) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry)
	j.changed.Notify()
}

// Close ends the readers once they have read everything.
func (j *Journal[T]) Close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	j.changed.Notify()
}

// All entries so far. What is returned is not altered later, and must not be.
func (j *Journal[T]) All() []T {
	entries, _ := j.after(0)
	return entries
}

// after are the entries from number n on, and a channel that is closed when
// there are more; nil if there never will be.
func (j *Journal[T]) after(n int) ([]T, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	entries := j.entries[n:len(j.entries):len(j.entries)]
	if j.closed {
		return entries, nil
	}
	return entries, j.changed.Changed()
}

// ServeHTTP writes all entries, and goes on until the journal is closed or the
// reader is gone.
func (j *Journal[T]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder, control := json.NewEncoder(w), http.NewResponseController(w)
	for n := 0; ; {
		entries, changed := j.after(n)
		n += len(entries)
		for i := range entries {
			if err := encoder.Encode(entries[i]); err != nil {
				return // the reader is gone
			}
		}
		if control.Flush() != nil || changed == nil {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
		if !pace.Sleep(r.Context(), gatherTime) {
			return
		}
	}
}
