package httpserve

import (
	"testing"
	"time"
)

func TestBudget(t *testing.T) {
	t.Parallel()
	b := budget{share: 10, burst: 100 * time.Millisecond}
	start := time.Unix(1000, 0)
	for i, step := range []struct {
		after  time.Duration
		spend  time.Duration
		afford bool
	}{
		{0, 60 * time.Millisecond, true},
		{0, 60 * time.Millisecond, true}, // 120 ms: 20 too many
		{100 * time.Millisecond, 0, false},
		{200 * time.Millisecond, 0, false}, // exactly the burst
		{201 * time.Millisecond, 0, true},
		{time.Hour, 90 * time.Millisecond, true}, // no more than the burst is saved
		{time.Hour, 20 * time.Millisecond, true},
		{time.Hour, 0, false},
		{time.Hour - time.Minute, 0, false}, // time never goes back
	} {
		if got := b.affords(start.Add(step.after)); got != step.afford {
			t.Errorf("step %d: affords %t, want %t", i, got, step.afford)
		}
		b.spend(step.spend)
	}
}
