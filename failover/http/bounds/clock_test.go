package bounds

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/internal/bubble"
)

func TestClock(t *testing.T) {
	t.Parallel()
	type step struct {
		after time.Duration
		do    func(c *Clock, stop func())
	}
	wait := func(begins bool) func(*Clock, func()) { return func(c *Clock, _ func()) { c.Wait(begins) } }
	for name, c := range map[string]struct {
		steps []step
		want  time.Duration // when it expires; 0: never
	}{
		"nothing is waited for": {nil, time.Second},
		"the client is waited for": {[]step{
			{100 * time.Millisecond, wait(true)},
			{time.Hour, wait(false)},
			{200 * time.Millisecond, wait(true)},
			{time.Hour, wait(false)},
		}, 2*time.Hour + time.Second},
		"the client never goes on": {[]step{{100 * time.Millisecond, wait(true)}}, 0},
		"stopped":                  {[]step{{999 * time.Millisecond, func(_ *Clock, stop func()) { stop() }}}, 0},
		"stopped after its end":    {[]step{{2 * time.Second, func(_ *Clock, stop func()) { stop() }}}, time.Second},
		"goes on after its end":    {[]step{{2 * time.Second, wait(true)}, {time.Second, wait(false)}}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var k Clock
				start, at, times := time.Now(), time.Duration(0), 0
				stop := k.Limit(time.Second, func() { at, times = time.Since(start), times+1 })
				for _, s := range c.steps {
					bubble.Pass(s.after)
					s.do(&k, stop)
				}
				bubble.Pass(24 * time.Hour)
				if at != c.want || times > 1 {
					t.Errorf("it expired %d times, at %v, want %v", times, at, c.want)
				}
			})
		})
	}
}

// TestClockWhileWaiting: a limit that begins while the client is waited for, and one that is none.
func TestClockWhileWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var k Clock
		k.Wait(true)
		var at time.Duration
		start := time.Now()
		k.Limit(time.Second, func() { at = time.Since(start) })
		k.Limit(0, func() { t.Error("no limit has expired") })
		bubble.Pass(time.Minute)
		k.Wait(false)
		bubble.Pass(time.Minute)
		if at != time.Minute+time.Second {
			t.Errorf("it expired at %v", at)
		}
	})
}

// TestClockThatWasHeldUp: a goroutine that is not run for a moment between the start of its timer and a look at the time loses no limit.
func TestClockThatWasHeldUp(t *testing.T) {
	t.Parallel()
	var c Clock
	expired := make(chan struct{})
	defer c.Limit(20*time.Millisecond, func() { close(expired) })()
	c.mu.Lock()
	c.limits[0].since = c.limits[0].since.Add(5 * time.Millisecond)
	c.mu.Unlock()
	select {
	case <-expired:
	case <-time.After(2 * time.Second):
		t.Error("the limit is lost")
	}
}
