package bounds

import (
	"slices"
	"sync"
	"time"
)

// Clock measures the times of a request that a policy bounds. It stands still while the client is waited for: that time is not the
// endpoint's.
type Clock struct {
	mu      sync.Mutex
	waiting bool
	limits  []*limit
}

// limit is a time that may pass.
type limit struct {
	left    time.Duration
	since   time.Time // zero: it stands still
	timer   *time.Timer
	expired func()
}

// Limit calls expired once d has passed, unless stop is called before; d of 0 is no limit.
func (c *Clock) Limit(d time.Duration, expired func()) (stop func()) {
	if d <= 0 {
		return func() {}
	}
	l := &limit{left: d, expired: expired}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limits = append(c.limits, l)
	l.since = time.Now()
	l.timer = time.AfterFunc(d, func() { c.expire(l) })
	if c.waiting {
		l.stand()
	}
	return func() { c.stop(l) }
}

func (c *Clock) expire(l *limit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.since.IsZero() || !slices.Contains(c.limits, l) {
		return
	}
	if rest := l.left - time.Since(l.since); rest > 0 { // the timer is from before it stood still
		l.timer.Reset(rest)
		return
	}
	c.remove(l)
	l.expired()
}

func (c *Clock) stop(l *limit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.timer.Stop()
	c.remove(l)
}

func (c *Clock) remove(l *limit) {
	c.limits = slices.DeleteFunc(c.limits, func(o *limit) bool { return o == l })
}

// Wait is called when the wait for the client begins, and when it ends.
func (c *Clock) Wait(begins bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = begins
	for _, l := range c.limits {
		if begins {
			l.stand()
		} else {
			l.since = time.Now()
			l.timer.Reset(l.left)
		}
	}
}

// stand stands still.
func (l *limit) stand() {
	l.timer.Stop()
	l.left = max(l.left-time.Since(l.since), 0)
	l.since = time.Time{}
}
