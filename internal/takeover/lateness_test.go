package takeover

import (
	"testing"
	"time"
)

func TestLateness(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	for _, tt := range []struct {
		name  string
		looks []time.Duration // since the start
		until time.Duration
		want  time.Duration
	}{
		{"on time", []time.Duration{lateInterval, 2 * lateInterval}, 3 * lateInterval, 0},
		{"one look late", []time.Duration{lateInterval + 300*time.Millisecond}, 2*lateInterval + 300*time.Millisecond, 300 * time.Millisecond},
		{"the next look has not come yet", []time.Duration{lateInterval}, 2*lateInterval + time.Second, time.Second},
		{"slices of a quota", []time.Duration{130 * time.Millisecond, 260 * time.Millisecond}, 260 * time.Millisecond, 160 * time.Millisecond},
		{"early", []time.Duration{lateInterval / 2}, lateInterval, 0},
	} {
		l := newLateness(start)
		for _, at := range tt.looks {
			l.look(start.Add(at))
		}
		if got := l.until(start.Add(tt.until)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
