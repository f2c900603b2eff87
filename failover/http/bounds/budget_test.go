package bounds

import (
	"testing"
	"time"

	"github.com/eastway/eastway/failover/balance"
)

func TestBudget(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	policy := &balance.Retries{Percent: 20, MinConcurrency: 3}
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	// take takes n retries and returns how many it got.
	take := func(b *Budget, now time.Time, n int) (got int) {
		for range n {
			if b.Take(now, policy) {
				got++
			}
		}
		return got
	}
	requests := func(b *Budget, now time.Time, n int) {
		for range n {
			b.Request(now, 0)
		}
	}
	for name, c := range map[string]struct {
		run  func(b *Budget) int
		want int
	}{
		"the least, without requests":     {func(b *Budget) int { return take(b, at(0), 10) }, policy.MinConcurrency},
		"a fifth of the requests":         {func(b *Budget) int { requests(b, at(0), 100); return take(b, at(1), 100) }, 20},
		"requests spread over the window": {func(b *Budget) int { requests(b, at(0), 50); requests(b, at(9), 50); return take(b, at(9), 100) }, 20},
		"requests of an earlier window":   {func(b *Budget) int { requests(b, at(0), 100); return take(b, at(11), 100) }, policy.MinConcurrency},
		"a clock that goes back":          {func(b *Budget) int { requests(b, at(5), 100); return take(b, at(1), 100) }, 20},
		"retries of an earlier window count while they run": {func(b *Budget) int {
			take(b, at(0), policy.MinConcurrency)
			return take(b, at(60), 10)
		}, 0},
		"what has ended leaves room for the least": {func(b *Budget) int {
			take(b, at(0), policy.MinConcurrency)
			b.Put()
			return take(b, at(1), 10)
		}, 1},
		"what has ended still counts in the share": {func(b *Budget) int {
			requests(b, at(0), 100)
			for range take(b, at(0), 20) {
				b.Put()
			}
			return take(b, at(1), 100)
		}, policy.MinConcurrency},
		"however fast they end": {func(b *Budget) (got int) {
			requests(b, at(0), 100)
			for range 1000 {
				if b.Take(at(1), policy) {
					b.Put()
					got++
				}
			}
			return got
		}, 20 + 10*policy.MinConcurrency},
		"a policy without retries": {func(b *Budget) int {
			requests(b, at(0), 100)
			policy := &balance.Retries{}
			if b.Take(at(0), policy) {
				return 1
			}
			return 0
		}, 0},
		"a policy with more": {func(b *Budget) int {
			requests(b, at(0), 100)
			n := 0
			for b.Take(at(0), &balance.Retries{Percent: 50, MinConcurrency: 60}) {
				n++
			}
			return n
		}, 60},
	} {
		if got := c.run(&Budget{}); got != c.want {
			t.Errorf("%s: %d retries, want %d", name, got, c.want)
		}
	}
}

func TestBudgetOfNewProcess(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	policy := &balance.Retries{Percent: 20, MinConcurrency: 3}
	for name, c := range map[string]struct {
		after    time.Duration
		requests int
		ended    bool
		want     int
	}{
		"without requests":      {0, 0, false, 30},
		"fewer than the share":  {time.Second, 100, false, 30},
		"more than the share":   {time.Second, 1000, false, 200},
		"however fast they end": {time.Second, 0, true, 30},
		"until a window later":  {budgetWindow - 1, 0, false, 30},
		"not from then on":      {budgetWindow, 0, false, 3},
	} {
		b, got := &Budget{Started: start}, 0
		for range c.requests {
			b.Request(start.Add(c.after), 0)
		}
		for range 1000 {
			if b.Take(start.Add(c.after), policy) {
				got++
				if c.ended {
					b.Put()
				}
			}
		}
		if got != c.want {
			t.Errorf("%s: %d retries, want %d", name, got, c.want)
		}
	}
}

func TestRequestsUnderWay(t *testing.T) {
	t.Parallel()
	b, now := &Budget{}, time.Unix(1000, 0)
	for i, want := range []bool{true, true, false, false} {
		if got := b.Request(now, 2); got != want {
			t.Errorf("request %d: %v", i, got)
		}
	}
	b.Done()
	if !b.Request(now, 2) || b.Request(now, 1) || !b.Request(now, 0) {
		t.Error("one that has ended leaves no room, or a new limit does not hold")
	}
}
