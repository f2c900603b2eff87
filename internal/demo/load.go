package demo

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/eastway/eastway/internal/openloop"
)

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
		sending.Go(func() {
			client := newClient(nil)
			openloop.Run(ctx, e.rate, lead, func(ctx context.Context, n int) {
				l.send(ctx, client, e, openloop.Method(n), fmt.Sprintf("%s-%06d", e.zone, n))
			})
		})
	}
	sending.Wait()
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
