package openloop

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// maxLag is how far requests may be behind their schedule before catching up is given
// up: a machine that slept must not be met with a burst.
const maxLag = time.Second

// Run calls send for request 0 after lead, and then perSecond (above 0) times a second for the next ones, each in a
// goroutine of its own, until ctx ends. It returns when each send has returned: their context does not end, so that what was
// sent is finished.
func Run(ctx context.Context, perSecond float64, lead time.Duration, send func(ctx context.Context, n int)) {
	every := time.Duration(float64(time.Second) / perSecond)
	detached := context.WithoutCancel(ctx)
	next := time.Now().Add(lead)
	timer := time.NewTimer(lead)
	defer timer.Stop()
	var sending sync.WaitGroup
	defer sending.Wait()
	for n := 0; ; n++ {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		sending.Go(func() { send(detached, n) })
		next = next.Add(every)
		if lag := time.Since(next); lag > maxLag {
			next = next.Add(lag)
		}
		timer.Reset(time.Until(next))
	}
}

// Method of request n: GET and POST in turn.
func Method(n int) string {
	if n%2 == 1 {
		return http.MethodPost
	}
	return http.MethodGet
}
