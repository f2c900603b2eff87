package openloop

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// maxLag is how far requests may be behind their schedule before catching up is given
// up: a machine that slept must not be met with a burst.
const maxLag = time.Second

// Load is how requests begin.
type Load struct {
	// Rate of requests per second, above 0.
	Rate float64
	// Lead is the time before the first one.
	Lead time.Duration
	// MaxPending, if above 0, bounds the requests without an answer: while there are so many, turns are left out. A computer
	// that is too slow for the rate then makes fewer requests, where all of them would wait longer and longer.
	MaxPending int
}

// Run calls send for request 0, 1, 2, ..., each in a goroutine of its own, until ctx ends. It returns when each send has
// returned: their context does not end, so that what was sent is finished.
func Run(ctx context.Context, l Load, send func(ctx context.Context, n int)) {
	every := time.Duration(float64(time.Second) / l.Rate)
	detached := context.WithoutCancel(ctx)
	next := time.Now().Add(l.Lead)
	timer := time.NewTimer(l.Lead)
	defer timer.Stop()
	var sending sync.WaitGroup
	defer sending.Wait()
	var pending atomic.Int64
	for n := 0; ; {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if l.MaxPending == 0 || pending.Load() < int64(l.MaxPending) {
			number := n
			n++
			pending.Add(1)
			sending.Go(func() {
				defer pending.Add(-1)
				send(detached, number)
			})
		}
		next = next.Add(every)
		if lag := time.Since(next); lag > maxLag {
			next = next.Add(lag)
		}
		timer.Reset(time.Until(next))
	}
}

// Method of request n: GET and POST alternate.
func Method(n int) string {
	if n%2 == 1 {
		return http.MethodPost
	}
	return http.MethodGet
}
