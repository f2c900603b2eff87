package capacity

import (
	"math"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

type step struct {
	after time.Duration // since the start
	do    func(g *Gauge, now time.Time)
	now   float64 // no bound: -1
	whole float64
	open  bool // calls beyond it may be tried
}

func set(declared float64) func(*Gauge, time.Time) {
	return func(g *Gauge, now time.Time) { g.Set(declared, true, now) }
}

func refuse(inFlight float64) func(*Gauge, time.Time) {
	return func(g *Gauge, now time.Time) { g.Refuse(inFlight, time.Second, now) }
}

func nothing(*Gauge, time.Time) {}

func unbound(g *Gauge, now time.Time) { g.Set(0, false, now) }

func empty(g *Gauge, _ time.Time) { g.Empty() }

func TestGauge(t *testing.T) {
	t.Parallel()
	const inf = -1
	for name, steps := range map[string][]step{
		"declares nothing": {{0, nothing, inf, inf, true}, {0, unbound, inf, inf, true}, {0, refuse(10), inf, inf, true}},
		"what was there before": {
			{0, set(100), 100, 100, true},
			{time.Second, set(40), 40, 40, true}, // gone at once
			{2 * time.Second, unbound, inf, inf, true},
			{2 * time.Second, set(7), 7, 7, true},
		},
		"more comes over time": {
			{0, set(10), 10, 10, true},
			{0, set(300), 30, 300, true},
			{5 * time.Second, nothing, 165, 300, true},
			{5 * time.Second, set(300), 165, 300, true}, // says the same again
			{10 * time.Second, nothing, 300, 300, true},
			{time.Hour, nothing, 300, 300, true},
		},
		"in steps": {
			{0, set(10), 10, 10, true},
			{0, set(20), 10, 20, true},
			{5 * time.Second, set(35), 15, 35, true},
			{15 * time.Second, nothing, 35, 35, true},
		},
		"less while it grows": {
			{0, set(10), 10, 10, true},
			{0, set(110), 11, 110, true},
			{5 * time.Second, set(80), 60.5, 80, true},
			{5 * time.Second, set(50), 50, 50, true},
		},
		"it was not there": {
			{0, empty, 0, 0, true},
			{0, set(100), 10, 100, true},
			{5 * time.Second, nothing, 55, 100, true},
		},
		"it was not there, and declares nothing": {{0, empty, 0, 0, true}, {0, unbound, inf, inf, true}},
		"gone and back": {
			{0, set(100), 100, 100, true},
			{time.Minute, set(0), 0, 0, true},
			{time.Minute, set(100), 10, 100, true},
		},
		"refuses": {
			{0, set(100), 100, 100, true},
			{0, refuse(50), 45, 100, false},
			{500 * time.Millisecond, refuse(20), 45, 100, false}, // of a call that was sent before
			{time.Second, nothing, 45, 100, true},
			{3 * time.Second, nothing, 54, 100, true}, // a tenth of 45 a second
			{3 * time.Second, refuse(0), 1, 100, false},
			{34 * time.Second, nothing, 50.5, 100, true}, // however few, all within a minute
			{64 * time.Second, nothing, 100, 100, true},
		},
		"declares something else while it is backed off": {
			{0, set(100), 100, 100, true},
			{0, refuse(50), 45, 100, false},
			{0, set(101), 45, 101, false}, // one endpoint more
			{2 * time.Second, nothing, 49.5, 101, true},
			{2 * time.Second, set(301), 49.5, 301, true}, // twenty more
			{3 * time.Second, nothing, 69.5, 301, true},
			{3 * time.Second, set(60), 60, 60, true},
			{3 * time.Second, set(160), 60, 160, true},
		},
		"refuses while it grows": {
			{0, set(10), 10, 10, true},
			{0, set(110), 11, 110, true},
			{5 * time.Second, refuse(20), 18, 110, false},
			{16 * time.Second, nothing, 36, 110, true},
			{time.Minute, nothing, 110, 110, true},
		},
		"refuses beyond its bound": {{0, set(100), 100, 100, true}, {0, refuse(500), 100, 100, false}, {time.Second, nothing, 100, 100, true}},
		"a clock that goes back":   {{time.Second, set(10), 10, 10, true}, {time.Second, set(110), 11, 110, true}, {0, nothing, 11, 110, true}},
	} {
		var g Gauge
		for i, s := range steps {
			now := start.Add(s.after)
			s.do(&g, now)
			got := g.At(now, 3)
			if !got.Bounded {
				got.Grown, got.Declared = inf, inf
			}
			if math.Abs(got.Grown-s.now) > 1e-6 || got.Declared != s.whole || g.IsClosed(now) == s.open || got.InFlight != 3 {
				t.Errorf("%s, step %d: %+v, closed: %v; want %v of %v, %v", name, i, got, g.IsClosed(now), s.now, s.whole, !s.open)
			}
		}
	}
}

func TestLevel(t *testing.T) {
	t.Parallel()
	of := func(inFlight, grown, declared float64) Level {
		return Level{InFlight: inFlight, Bounded: true, Grown: grown, Declared: declared}
	}
	for name, c := range map[string]struct {
		places     []Level
		proxies    int
		full, over bool
	}{
		"room for one":               {[]Level{of(9, 10, 10)}, 1, false, false},
		"none":                       {[]Level{of(10, 10, 10)}, 1, true, true},
		"more than it had":           {[]Level{of(12, 10, 10)}, 1, true, true},
		"it grows":                   {[]Level{of(10, 10, 20)}, 1, true, false},
		"two together":               {[]Level{of(12, 10, 10), of(7, 10, 10)}, 1, false, false},
		"two together, full":         {[]Level{of(12, 10, 10), of(8, 10, 10)}, 1, true, true},
		"the share of a proxy":       {[]Level{of(4, 10, 10)}, 2, false, false},
		"the share is used up":       {[]Level{of(5, 10, 10)}, 2, true, true},
		"a part of a call":           {[]Level{of(3, 10, 10)}, 3, true, false}, // else three proxies would refuse beyond nine of ten
		"no part is left":            {[]Level{of(4, 10, 10)}, 3, true, true},
		"at least one call":          {[]Level{of(0, 1, 1)}, 5, false, false},
		"and no more":                {[]Level{of(1, 1, 1)}, 5, true, true},
		"it begins":                  {[]Level{of(0, 0, 10)}, 1, false, false},
		"how many is not known":      {[]Level{of(9, 10, 10)}, 0, false, false},
		"one of two has no bound":    {[]Level{of(50, 10, 10), {InFlight: 50}}, 1, false, false},
		"what has no bound is never": {[]Level{{InFlight: 1e6}}, 9, false, false},
	} {
		l := c.places[0]
		for _, p := range c.places[1:] {
			l.Add(p)
		}
		if full := l.IsFullAlone(c.proxies); len(c.places) == 1 && full && !l.IsFull(c.proxies) {
			t.Errorf("%s: full as one of several", name)
		}
		if full, over := l.IsFull(c.proxies), l.IsOver(c.proxies); full != c.full || over != c.over {
			t.Errorf("%s: full %v, over %v", name, full, over)
		}
	}
}

// After a refusal a place gets nearly what it had for some time, but always what fits.
func TestClosed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refused, inFlight float64
		after             time.Duration
		proxies           int
		want              bool
	}{
		"beyond its bound, fewer than before": {200, 179, 0, 1, false},
		"as many as before":                   {200, 180, 0, 1, true},
		"later":                               {200, 1000, time.Second, 1, false},
		"within its bound":                    {50, 45, 0, 1, true},
		"within its bound, fewer":             {50, 44, 0, 1, false},
		"within its bound, for as long":       {50, 45, 900 * time.Millisecond, 1, true},
		"shared":                              {200, 90, 0, 2, true},
		"shared, and fewer":                   {200, 89, 0, 2, false},
	} {
		var g Gauge
		g.Set(100, true, start)
		g.Refuse(c.refused, time.Second, start)
		if l := g.At(start.Add(c.after), c.inFlight); l.IsClosed(c.proxies) != c.want {
			t.Errorf("%s: %v", name, !c.want)
		}
	}
}
