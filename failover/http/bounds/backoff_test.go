package bounds

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/failover/balance"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	b := balance.Backoff{Base: 25 * time.Millisecond, Max: 250 * time.Millisecond}
	for _, c := range []struct {
		b      balance.Backoff
		n      int
		random float64
		want   time.Duration
	}{
		{balance.Backoff{}, 1, .99, 0},
		{b, 1, 0, 0},
		{b, 1, 1, 25 * time.Millisecond},
		{b, 2, 1, 75 * time.Millisecond},
		{b, 3, 1, 175 * time.Millisecond},
		{b, 3, .5, 87500 * time.Microsecond},
		{b, 4, 1, 250 * time.Millisecond},
		{b, 1000, 1, 250 * time.Millisecond},
		{balance.Backoff{Base: time.Minute, Max: time.Minute}, 1000, 1, time.Minute},
	} {
		if got := Backoff(c.b, c.n, c.random); got != c.want {
			t.Errorf("%v, retry %d at %v: %v, want %v", c.b, c.n, c.random, got, c.want)
		}
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if !Pause(t.Context(), time.Second) || time.Since(start) != time.Second {
			t.Errorf("it took %v", time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if Pause(ctx, time.Hour) || time.Since(start) != 2*time.Second {
			t.Errorf("it went on for %v", time.Since(start))
		}
	})
}
