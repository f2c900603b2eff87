package http

import (
	"context"
	"time"

	"github.com/eastway/eastway/failover/balance"
)

// backoffSteps is where a backoff no longer doubles: its bounds have long been reached.
const backoffSteps = 20

// backoff is the time before the nth retry, from 1 on, with full jitter, as Envoy's: at random is in [0, 1).
func backoff(b balance.Backoff, n int, random float64) time.Duration {
	longest := min(b.Base*(1<<min(n, backoffSteps)-1), b.Max)
	return time.Duration(random * float64(longest))
}

// pause waits; false: ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
