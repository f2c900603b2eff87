package certs

import (
	"testing"
	"time"
)

func TestLease(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	for name, c := range map[string]struct {
		left   time.Duration
		chance float64
		renew  time.Duration
	}{
		"a day, first":           {24 * time.Hour, 0, 14*time.Hour + 24*time.Minute},
		"a day, last":            {24 * time.Hour, 1, 18 * time.Hour},
		"a certificate half way": {12 * time.Hour, 0, 7*time.Hour + 12*time.Minute},
		"not renewed":            {time.Minute, 0, time.Minute},
		"expired":                {-time.Minute, 1, time.Minute},
	} {
		renew, end := lease(now, now.Add(c.left), c.chance)
		if got := renew.Sub(now); got != c.renew {
			t.Errorf("%s: renewed after %v, want %v", name, got, c.renew)
		}
		if got := end.Sub(now); got != c.left+ClockSkew {
			t.Errorf("%s: ended after %v", name, got)
		}
	}
}
