package serve

import (
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover/ratelimit"
	"github.com/eastway/eastway/internal/entry/route"
)

// limits are the buckets of all rate limits. They are made with the first request that each counts, and stay when the table changes.
type limits struct {
	replicas func() int

	mu sync.Mutex
	of map[string]*limit
}

type limit struct {
	rate    *v1alpha1.RateLimit
	buckets *ratelimit.Limits
}

// take counts a request; wait is positive if one of the limits is met, and for how long.
func (l *limits) take(d *route.Decision, r *http.Request, now time.Time) (wait time.Duration, key string) {
	if d.Seen != "" && d.Seen != r.URL.Path {
		seen, at := *r, *r.URL
		at.Path, at.RawPath = d.Seen, ""
		seen.URL, r = &at, &seen
	}
	for _, of := range d.Limits {
		if wait := l.buckets(of).Matching(&ratelimit.Call{Request: r}).Take(now); wait > 0 {
			return wait, of.Key
		}
	}
	return 0, ""
}

func (l *limits) buckets(of *route.Limit) *ratelimit.Limits {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		l.of = make(map[string]*limit)
	}
	known := l.of[of.Key]
	if known == nil {
		known = &limit{buckets: ratelimit.New(l.sharing)}
		l.of[of.Key] = known
	}
	if known.rate != of.Rate {
		known.rate = of.Rate
		known.buckets.Set(of.Rate)
	}
	return known.buckets
}

// prune forgets limits that are gone.
func (l *limits) prune(left []*route.Limit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.of) == 0 {
		return
	}
	there := make(map[string]bool, len(left))
	for _, of := range left {
		there[of.Key] = true
	}
	maps.DeleteFunc(l.of, func(key string, _ *limit) bool { return !there[key] })
}

// sharing is how many processes share a limit.
func (l *limits) sharing() int {
	if l.replicas == nil {
		return 1
	}
	return l.replicas()
}
