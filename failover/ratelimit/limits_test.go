package ratelimit

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func rule(quota uint32, fill time.Duration) v1alpha1.RateLimitRule {
	return v1alpha1.RateLimitRule{Quota: quota, FillInterval: metav1.Duration{Duration: fill}}
}

func rules(list ...v1alpha1.RateLimitRule) *v1alpha1.RateLimit {
	return &v1alpha1.RateLimit{Rules: list}
}

// step is what happens at a time: the number of proxies or the rules change, then so many calls are made.
type step struct {
	after    time.Duration
	replicas int
	set      *v1alpha1.RateLimit
	calls    int
	granted  int
	wait     time.Duration // of the first that is refused
}

func TestTake(t *testing.T) {
	t.Parallel()
	four, other := rule(4, time.Second), rule(5, time.Second)
	for name, steps := range map[string][]step{
		"no rules": {{set: nil, calls: 100, granted: 100}},
		"a burst, then evenly": {
			{set: rules(four), calls: 6, granted: 4, wait: 250 * time.Millisecond},
			{after: 249 * time.Millisecond, calls: 1, wait: time.Millisecond},
			{after: 250 * time.Millisecond, calls: 2, granted: 1, wait: 250 * time.Millisecond},
			{after: 10 * time.Second, calls: 6, granted: 4, wait: 250 * time.Millisecond},
		},
		"an hour": {{set: rules(rule(2, time.Hour)), calls: 3, granted: 2, wait: 30 * time.Minute}},
		"the emptiest bucket decides, and a refused call takes nothing": {
			{set: rules(four, rule(1, time.Hour)), calls: 3, granted: 1, wait: time.Hour},
			{set: rules(four), calls: 6, granted: 3, wait: 250 * time.Millisecond},
		},
		"a rule that stays keeps its tokens": {
			{set: rules(four), calls: 4, granted: 4},
			{set: rules(other, four), calls: 2, wait: 250 * time.Millisecond},
			{set: rules(four), calls: 1, wait: 250 * time.Millisecond},
			{set: rules(other), calls: 6, granted: 5, wait: 200 * time.Millisecond},
		},
		"of two equal rules each keeps its own": {
			{set: rules(four, four), calls: 5, granted: 4, wait: 250 * time.Millisecond},
			{set: rules(four, four), calls: 1, wait: 250 * time.Millisecond},
		},
		"divided among proxies": {
			{replicas: 2, set: rules(four), calls: 3, granted: 2, wait: 500 * time.Millisecond},
			{replicas: 1, calls: 1, wait: 250 * time.Millisecond}, // nothing is filled
			{after: time.Second, calls: 5, granted: 4, wait: 250 * time.Millisecond},
			{after: 3 * time.Second, replicas: 4, calls: 2, granted: 1, wait: time.Second}, // what is above the share is lost
		},
		"at least one token":          {{replicas: 9, set: rules(four), calls: 2, granted: 1, wait: time.Second}},
		"an unknown number is one":    {{replicas: -1, set: rules(four), calls: 5, granted: 4, wait: 250 * time.Millisecond}},
		"what discovery never passes": {{set: rules(rule(0, 0)), calls: 2, granted: 1, wait: v1alpha1.MinFillInterval}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replicas := 1
			l := New(func() int { return replicas })
			for i, s := range steps {
				if s.replicas != 0 {
					replicas = s.replicas
				}
				if s.set != nil {
					l.Set(s.set)
				}
				now, granted, first := start.Add(s.after), 0, time.Duration(0)
				for range s.calls {
					c := l.Matching(&Call{})
					before := c.Wait(now)
					wait := c.Take(now)
					if wait != before {
						t.Errorf("step %d: Wait is %v, Take %v", i, before, wait)
					}
					if wait == 0 {
						granted++
					} else if first == 0 {
						first = wait
					}
				}
				if off := (first - s.wait).Abs(); granted != s.granted || s.wait > 0 && off > time.Microsecond {
					t.Errorf("step %d: %d granted, then %v; want %d, %v", i, granted, first, s.granted, s.wait)
				}
			}
		})
	}
}

func TestNoLimits(t *testing.T) {
	t.Parallel()
	var l *Limits
	if c := l.Matching(&Call{}); c.Wait(start) != 0 || c.Take(start) != 0 {
		t.Error("refused")
	}
}

// A time that was taken before that of another call, and comes after it, fills nothing twice.
func TestTimeThatGoesBack(t *testing.T) {
	t.Parallel()
	l := New(func() int { return 1 })
	l.Set(rules(rule(2, 2*time.Second)))
	c, granted := l.Matching(&Call{}), 0
	for _, at := range []time.Duration{time.Second, 0, time.Second, time.Second} {
		if c.Take(start.Add(at)) == 0 {
			granted++
		}
	}
	if granted != 2 {
		t.Errorf("%d granted", granted)
	}
}

// In no window more is granted than a full bucket and what flows in meanwhile, whatever the number of proxies becomes.
func FuzzNeverMoreThanQuota(f *testing.F) {
	f.Add(uint32(100), int64(time.Second), uint64(1))
	f.Add(uint32(1), int64(10*time.Millisecond), uint64(2))
	f.Add(uint32(1_000_000), int64(time.Hour), uint64(3))
	f.Fuzz(func(t *testing.T, quota uint32, fill int64, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		quota = 1 + quota%v1alpha1.MaxQuota
		every := v1alpha1.MinFillInterval + time.Duration(uint64(fill)%uint64(v1alpha1.MaxFillInterval-v1alpha1.MinFillInterval))
		replicas := 1
		l := New(func() int { return replicas })
		l.Set(rules(rule(quota, every)))
		c := l.Matching(&Call{})
		perToken := max(every/time.Duration(quota), 1)
		var granted []time.Time
		for now := start; len(granted) < 300 && now.Before(start.Add(3*every)); {
			switch random.IntN(20) {
			case 0:
				replicas = 1 + random.IntN(5)
			case 1:
				now = now.Add(time.Duration(random.Int64N(int64(every))))
			default:
				now = now.Add(time.Duration(random.Int64N(int64(perToken)) / 2))
			}
			for range random.IntN(int(min(quota, 40))) + 1 {
				if c.Take(now) == 0 {
					granted = append(granted, now)
				}
			}
			if random.IntN(50) == 0 {
				l.Set(rules(rule(quota, every)))
			}
		}
		for i := range granted {
			for j := i; j < len(granted); j++ {
				most := float64(quota) * (1 + granted[j].Sub(granted[i]).Seconds()/every.Seconds())
				if n := j - i + 1; float64(n) > math.Floor(most+1e-6) {
					t.Fatalf("%d granted within %v, at most %.3f", n, granted[j].Sub(granted[i]), most)
				}
			}
		}
	})
}
