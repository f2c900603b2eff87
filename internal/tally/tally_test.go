package tally

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTally(t *testing.T) {
	t.Parallel()
	var c Tally
	start := time.Unix(1000, 0)
	if !c.Over(start) {
		t.Error("shown before anything happened")
	}
	for _, step := range []struct {
		after       time.Duration
		n           uint64
		due, recent uint64
	}{
		{0, 1, 1, 1},
		{time.Second, 2, 0, 3},
		{LogInterval - 1, 1, 0, 4},
		{LogInterval, 4, 7, 8},
		{LogInterval + Shown, 1, 1, 9},
		{3 * Shown, 1, 1, 1},
	} {
		now := start.Add(step.after)
		if due := c.Note(now, step.n); due != step.due || c.Recent != step.recent || c.Over(now) {
			t.Errorf("after %v: %d are due, %d recent, want %d, %d", step.after, due, c.Recent, step.due, step.recent)
		}
	}
	if !c.Over(start.Add(4*Shown + 1)) {
		t.Error("shown for ever")
	}
}
