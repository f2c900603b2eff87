package balance

import (
	"math"
	"time"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// The defaults of a warmup are Istio's.
const (
	defaultWarmupPercent = 10
	defaultAggression    = 1.0
)

// warmup is how the share of an endpoint grows that has become ready; the zero value is at once.
type warmup struct {
	duration   time.Duration
	least      float64 // share
	aggression float64
}

// warmupOf clamps what is out of bounds.
func warmupOf(lb *v1alpha1.LoadBalancer) warmup {
	w := v1alpha1.Warmup{}
	switch {
	case lb.Warmup != nil:
		w = *lb.Warmup
	case lb.WarmupDurationSecs != nil:
		w.Duration = *lb.WarmupDurationSecs
	}
	return warmup{
		duration:   max(w.Duration.Duration, 0),
		least:      float64(percent(w.MinimumPercent, defaultWarmupPercent)) / 100,
		aggression: max(or(w.Aggression, defaultAggression), 1),
	}
}

// share is that of an endpoint which has been ready for that long.
func (w *warmup) share(ready time.Duration) float64 {
	if ready >= w.duration {
		return 1
	}
	return max(w.least, math.Pow(float64(max(ready, 0))/float64(w.duration), 1/w.aggression))
}
