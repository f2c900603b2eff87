package tunnel

import (
	"testing"
	"time"
)

// clock feeds vitals with ticks.
type clock struct {
	now time.Time
	v   vitals
}

func newClock() *clock {
	now := time.Unix(1000, 0)
	return &clock{now: now, v: newVitals(now)}
}

// run ticks for d; heard says whether the peer is heard in that time.
func (c *clock) run(d time.Duration, heard, control bool, rtt time.Duration) linkState {
	var st linkState
	start := c.now
	for end := c.now.Add(d); c.now.Before(end); {
		c.now = c.now.Add(tick)
		silence := time.Duration(0)
		if !heard {
			silence = c.now.Sub(start)
		}
		st, _ = c.v.observe(c.now, silence, rtt, control)
	}
	return st
}

func TestVitals(t *testing.T) {
	t.Parallel()
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	for _, tt := range []struct {
		name  string
		want  linkState
		steps func(c *clock) linkState
	}{
		{"heard", alive, func(c *clock) linkState { return c.run(time.Minute, true, true, ms(10)) }},
		{"just silent", alive, func(c *clock) linkState { return c.run(suspectAfter-tick, false, true, ms(10)) }},
		{"silent", suspect, func(c *clock) linkState { return c.run(suspectAfter, false, true, ms(10)) }},
		{"long round trips are waited for", alive, func(c *clock) linkState { return c.run(ms(1500), false, true, ms(400)) }},
		{"silent for long round trips", suspect, func(c *clock) linkState { return c.run(ms(1700), false, true, ms(400)) }},
		{"dead", dead, func(c *clock) linkState { return c.run(deadAfter, false, true, ms(10)) }},
		{"back", alive, func(c *clock) linkState {
			c.run(deadAfter-time.Second, false, true, ms(10))
			return c.run(tick, true, true, ms(10))
		}},
		{"no control connection for a while", alive, func(c *clock) linkState {
			c.v.controlLost(c.now)
			return c.run(noControlAfter-time.Second, true, false, ms(10))
		}},
		{"control connection came back", alive, func(c *clock) linkState {
			c.v.controlLost(c.now)
			c.run(noControlAfter-time.Second, true, false, ms(10))
			c.run(tick, true, true, ms(10))
			return c.run(noControlAfter, true, true, ms(10))
		}},
		{"no control connection for too long", dead, func(c *clock) linkState {
			c.v.controlLost(c.now)
			return c.run(noControlAfter+tick, true, false, ms(10))
		}},
		{"this process was stopped", alive, func(c *clock) linkState {
			c.run(time.Second, true, true, ms(10))
			c.now = c.now.Add(time.Minute) // no ticks meanwhile
			st, paused := c.v.observe(c.now, time.Minute, ms(10), true)
			if paused < 59*time.Second {
				t.Errorf("pause of a minute was seen as %v", paused)
			}
			return st
		}},
	} {
		c := newClock()
		if got := tt.steps(c); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestDoubt(t *testing.T) {
	t.Parallel()
	c := newClock()
	c.run(time.Second, true, true, 0)
	before := c.now
	c.now = c.now.Add(tick / 2)
	c.v.doubt(c.now)
	if !c.v.doubtful() {
		t.Error("not doubtful after a connection ended")
	}
	c.run(tick, true, true, 0)
	c.v.proven(before)
	if !c.v.doubtful() {
		t.Error("not doubtful although what was heard since may have been on its way before")
	}
	c.v.proven(c.now)
	if c.v.doubtful() {
		t.Error("doubtful although a ping sent since was answered")
	}
	c.v.proven(before)
	if c.v.doubtful() {
		t.Error("doubtful again by an old answer")
	}
}

func TestPings(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	var p pingState
	seq, due := p.due(now, time.Second)
	if !due {
		t.Fatal("first ping is not due")
	}
	if _, due := p.due(now.Add(time.Hour), time.Second); due {
		t.Error("a second ping while the first has no answer")
	}
	p.pong(seq+1, now.Add(time.Millisecond))
	if p.srtt != 0 {
		t.Error("an answer to no ping was measured")
	}
	p.pong(seq, now.Add(80*time.Millisecond))
	if p.srtt != 80*time.Millisecond {
		t.Errorf("first sample: %v", p.srtt)
	}
	if _, due := p.due(now.Add(900*time.Millisecond), time.Second); due {
		t.Error("due before the interval")
	}
	seq, _ = p.due(now.Add(time.Second), time.Second)
	p.pong(seq, now.Add(1160*time.Millisecond))
	if p.srtt != 90*time.Millisecond {
		t.Errorf("smoothed: %v, want 90ms", p.srtt)
	}
}
