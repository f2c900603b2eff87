package takeover

import (
	"context"
	"sync"
	"time"
)

// lateness measures for how long this process was kept from running: by other processes, a quota of CPU time, or a machine that was
// suspended. What did not come in such a time says nothing of who should have sent it.
type lateness struct {
	mu    sync.Mutex
	due   time.Time     // of the next look
	total time.Duration // by which all looks were late
}

func newLateness(now time.Time) *lateness { return &lateness{due: now.Add(lateInterval)} }

// look at the time, as is to happen every lateInterval.
func (l *lateness) look(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total += max(now.Sub(l.due), 0)
	l.due = now.Add(lateInterval)
}

// until is for how long the process was kept from running from its start until now; the difference of two is what it lost in between.
func (l *lateness) until(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total + max(now.Sub(l.due), 0)
}

// run looks until ctx ends.
func (l *lateness) run(ctx context.Context) {
	timer := time.NewTimer(lateInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		l.look(time.Now())
		timer.Reset(lateInterval)
	}
}
