package pace

import (
	"context"
	"math"
	"time"
)

// Sleep pauses for d. It returns false as soon as ctx ends; the loop should then return.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Backoff is the pause after the given number of failures in a row: least after the first, twice as long after each
// further one, most at most. Without a failure there is no pause.
func Backoff(failures int, least, most time.Duration) time.Duration {
	if failures <= 0 {
		return 0
	}
	d := min(least, most)
	for range failures - 1 {
		if d <= 0 || d > most/2 {
			return most
		}
		d *= 2
	}
	return d
}

// Spread is a duration between low·d and high·d, so that processes that began together do not act together. The random
// number, in [0, 1), decides which; rand.Float64 gives one.
func Spread(d time.Duration, low, high, random float64) time.Duration {
	return time.Duration(math.Round(float64(d) * (low + (high-low)*random)))
}

// Rest is the pause after work that took so long: the given number of times as long, most at most. A loop that rests so
// spends at most the 1/(times+1)th part of its time on work that takes longer the more there is to do.
func Rest(took time.Duration, times int, most time.Duration) time.Duration {
	switch {
	case took <= 0 || times <= 0:
		return 0
	case took > most/time.Duration(times):
		return most
	}
	return took * time.Duration(times)
}
