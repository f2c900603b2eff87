package journal

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestAwait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j Journal[int]
		even := func(n *int) bool { return *n%2 == 0 }
		three := func(entries []int) bool { return len(entries) == 3 }
		j.Add(2)
		got := make(chan error, 1)
		go func() { got <- j.Await(t.Context(), even, three) }()
		for _, n := range []int{1, 4, 3} {
			j.Add(n)
			synctest.Wait()
		}
		select {
		case err := <-got:
			t.Fatalf("returned after two entries: %v", err)
		default:
		}
		j.Add(6)
		if err := <-got; err != nil {
			t.Error(err)
		}
		never := func([]int) bool { return false }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := j.Await(ctx, even, never); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		j.Close()
		if err := j.Await(t.Context(), even, three); err != nil {
			t.Errorf("what has happened is not seen in a journal that ended: %v", err)
		}
		if err := j.Await(t.Context(), even, never); err == nil {
			t.Error("waited for an entry that an ended journal will never have")
		}
	})
}

func TestLastOf(t *testing.T) {
	t.Parallel()
	// An entry is its group, and an x if it is bad.
	condition := LastOf(2, []string{"h", "k"}, func(s *string) string { return (*s)[:1] }, func(s *string) bool { return len(*s) == 1 })
	for name, tc := range map[string]struct {
		entries []string
		want    bool
	}{
		"none":              {nil, false},
		"too few":           {[]string{"h", "h", "k"}, false},
		"enough":            {[]string{"h", "k", "h", "k"}, true},
		"others ignored":    {[]string{"h", "k", "h", "zx", "k"}, true},
		"long ago":          {[]string{"hx", "h", "h", "k", "k"}, true},
		"one is bad":        {[]string{"h", "k", "hx", "k"}, false},
		"only the last one": {[]string{"h", "h", "kx", "k"}, false},
	} {
		if got := condition(tc.entries); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
