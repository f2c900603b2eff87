package bounds

import (
	"context"
	"time"

	"github.com/eastway/eastway/failover/balance"
)

// backoffSteps is where a backoff no longer doubles: its bounds have long been reached.
const backoffSteps = 20

// Backoff is the time before the nth retry, from 1 on, with full jitter, as Envoy's: at random is in [0, 1).
func Backoff(b balance.Backoff, n int, random float64) time.Duration {
	longest := min(b.Base*(1<<min(n, backoffSteps)-1), b.Max)
	return time.Duration(random * float64(longest))
}

// Pause waits; false: ctx ended before.
func Pause(ctx context.Context, d time.Duration) bool {
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
