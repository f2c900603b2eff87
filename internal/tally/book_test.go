package tally

import (
	"slices"
	"testing"
	"time"
)

func TestBook(t *testing.T) {
	t.Parallel()
	var b Book[string]
	start := time.Unix(1000, 0)
	text := func(k string) (what, remedy string) { return k + " happened", "stop " + k }
	if got := b.Problems(start, text); len(got) != 0 {
		t.Errorf("at the start: %q", got)
	}
	for _, step := range []struct {
		after time.Duration
		kind  string
		n     uint64
		due   uint64
		shown []string
	}{
		{0, "b", 1, 1, []string{"b happened (1×, last 0s ago): stop b"}},
		{time.Second, "a", 2, 2, []string{"a happened (2×, last 0s ago): stop a", "b happened (1×, last 1s ago): stop b"}},
		{2 * time.Second, "b", 5, 0, []string{"a happened (2×, last 1s ago): stop a", "b happened (6×, last 0s ago): stop b"}},
		{2*time.Second + Shown, "b", 1, 6, []string{"b happened (7×, last 0s ago): stop b"}},
		{2 * (2*time.Second + Shown), "c", 1, 1, []string{"c happened (1×, last 0s ago): stop c"}},
	} {
		now := start.Add(step.after)
		if due := b.Note(now, step.kind, step.n); due != step.due {
			t.Errorf("after %v: %d are due, want %d", step.after, due, step.due)
		}
		if got := b.Problems(now, text); !slices.Equal(got, step.shown) {
			t.Errorf("after %v: %q, want %q", step.after, got, step.shown)
		}
	}
	if len(b.met) != 1 {
		t.Errorf("%d kinds are kept", len(b.met))
	}
}
