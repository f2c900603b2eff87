package ratelimit

import (
	"math"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Limits are the buckets of one service port. It has no clock of its own.
type Limits struct {
	// replicas is how many proxies of the cluster share each quota.
	replicas func() int

	mu      sync.Mutex
	buckets []*bucket
	last    time.Time // no call is earlier
}

// bucket is that of one rule.
type bucket struct {
	rule     v1alpha1.RateLimitRule
	replicas int
	limiter  *rate.Limiter
}

// New makes Limits without rules. The func replicas is called with each call that counts.
func New(replicas func() int) *Limits { return &Limits{replicas: replicas} }

// Set changes the rules; nil is none. A rule that stays as it is keeps its tokens, wherever it stands; any other begins with a full bucket.
func (l *Limits) Set(p *v1alpha1.RateLimit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p == nil {
		l.buckets = nil
		return
	}
	old, next := slices.Clone(l.buckets), make([]*bucket, 0, len(p.Rules))
	for i := range p.Rules {
		at := slices.IndexFunc(old, func(b *bucket) bool { return reflect.DeepEqual(b.rule, p.Rules[i]) })
		if at < 0 {
			next = append(next, newBucket(&p.Rules[i], l.replicas()))
			continue
		}
		next = append(next, old[at])
		old = slices.Delete(old, at, at+1) // of two equal rules each keeps its own
	}
	l.buckets = next
}

// Counted are the buckets of the rules that a call matches; empty: it is not limited.
type Counted struct {
	limits  *Limits
	buckets []*bucket
}

// Matching finds the rules that count a call. l may be nil.
func (l *Limits) Matching(c *Call) Counted {
	if l == nil {
		return Counted{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	out := Counted{limits: l}
	for _, b := range l.buckets {
		if c.matches(&b.rule.Match) {
			out.buckets = append(out.buckets, b)
		}
	}
	return out
}

// Wait is how long it takes until none of the buckets is empty; 0: none is.
func (c Counted) Wait(now time.Time) time.Duration {
	if len(c.buckets) == 0 {
		return 0
	}
	c.limits.mu.Lock()
	defer c.limits.mu.Unlock()
	wait, _ := c.wait(now)
	return wait
}

// Take takes a token from each of the buckets. If one is empty, it takes none and returns what Wait does.
func (c Counted) Take(now time.Time) (wait time.Duration) {
	if len(c.buckets) == 0 {
		return 0
	}
	c.limits.mu.Lock()
	defer c.limits.mu.Unlock()
	wait, now = c.wait(now)
	if wait > 0 {
		return wait
	}
	for _, b := range c.buckets {
		b.limiter.AllowN(now, 1)
	}
	return 0
}

// wait is Wait with the time that counts: one before the last would fill the buckets twice. The lock is held.
func (c Counted) wait(now time.Time) (wait time.Duration, at time.Time) {
	if now.Before(c.limits.last) {
		now = c.limits.last
	}
	c.limits.last = now
	replicas := c.limits.replicas()
	for _, b := range c.buckets {
		b.divide(now, replicas)
		wait = max(wait, b.wait(now))
	}
	return wait, now
}

func newBucket(rule *v1alpha1.RateLimitRule, replicas int) *bucket {
	b := &bucket{rule: *rule.DeepCopy(), replicas: max(replicas, 1)}
	b.limiter = rate.NewLimiter(b.share())
	return b
}

// share is this proxy's part of the rule: at least one token, so that a service with many proxies is not closed. It takes any rule, as
// the rest of failover does.
func (b *bucket) share() (rate.Limit, int) {
	quota := min(max(b.rule.Quota, 1), v1alpha1.MaxQuota)
	fill := min(max(b.rule.FillInterval.Duration, v1alpha1.MinFillInterval), v1alpha1.MaxFillInterval)
	tokens := max(float64(quota)/float64(b.replicas), 1)
	return rate.Limit(tokens / fill.Seconds()), int(math.Floor(tokens))
}

// divide follows the number of proxies. It fills nothing: a share that grows has no more tokens at once.
func (b *bucket) divide(now time.Time, replicas int) {
	if replicas = max(replicas, 1); replicas == b.replicas {
		return
	}
	b.replicas = replicas
	limit, burst := b.share()
	b.limiter.SetLimitAt(now, limit)
	b.limiter.SetBurstAt(now, burst)
}

// wait is how long it takes until there is a token.
func (b *bucket) wait(now time.Time) time.Duration {
	lacking := 1 - b.limiter.TokensAt(now)
	if lacking <= 0 {
		return 0
	}
	return max(time.Duration(lacking/float64(b.limiter.Limit())*float64(time.Second)), 1)
}
