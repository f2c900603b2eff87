package demo

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// maxLag is how far the load may be behind its schedule before it gives up
// catching up: a machine that slept must not be met with a burst.
const maxLag = time.Second

// entry is a mocka that gets a share of the load.
type entry struct {
	zone string
	url  string
	rate float64 // requests per second
}

// load sends requests at a steady pace, whether or not earlier ones were answered.
type load struct {
	entries []entry
	rec     *recorder
}

// run sends until ctx ends, and returns when every request has ended.
func (l *load) run(ctx context.Context) {
	var sending sync.WaitGroup
	for i, e := range l.entries {
		// Spread over the interval, so that the entries do not beat in step.
		lead := time.Duration(float64(i) / float64(len(l.entries)) / e.rate * float64(time.Second))
		sending.Go(func() { l.drive(ctx, e, lead) })
	}
	sending.Wait()
}

// drive is one entry's open loop.
func (l *load) drive(ctx context.Context, e entry, lead time.Duration) {
	client := newClient(nil)
	// A request that was sent is finished even when the load ends.
	detached := context.WithoutCancel(ctx)
	every := time.Duration(float64(time.Second) / e.rate)
	next := time.Now().Add(lead)
	timer := time.NewTimer(lead)
	defer timer.Stop()
	var requests sync.WaitGroup
	defer requests.Wait()
	for n := 0; ; n++ {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		method := http.MethodGet
		if n%2 == 1 {
			method = http.MethodPost
		}
		requests.Go(func() { l.send(detached, client, e, method, fmt.Sprintf("%s-%06d", e.zone, n)) })
		next = next.Add(every)
		if lag := time.Since(next); lag > maxLag {
			next = next.Add(lag)
		}
		timer.Reset(time.Until(next))
	}
}

func (l *load) send(ctx context.Context, client *http.Client, e entry, method, id string) {
	rec := l.rec.begin(e.zone, id, method)
	answer, _, err := exchange(ctx, client, method, e.url, id, "order "+id)
	var whole bool
	if err == nil {
		rec.hops, whole = parseChain(answer)
	}
	switch {
	case err != nil:
		rec.failure = err.Error()
	case !whole:
		rec.failure = fmt.Sprintf("not the answer of the whole chain: %.200q", answer)
	}
	l.rec.end(rec)
}
