package vitals

import (
	"testing"
	"time"
)

func TestAbsence(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	var a Absence
	for i, step := range []struct {
		after         time.Duration
		missing, want bool
	}{
		{0, true, false},
		{4 * time.Second, true, false},
		{time.Second, true, true},
		{time.Hour, true, false}, // once
		{time.Second, false, false},
		{time.Hour, true, false},
		{4 * time.Second, false, false},
		{time.Second, true, false},
		{5 * time.Second, true, true},
	} {
		now = now.Add(step.after)
		if got := a.Due(now, step.missing, 5*time.Second); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}
