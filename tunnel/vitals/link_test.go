package vitals

import (
	"testing"
	"time"
)

// clock feeds vitals with ticks.
type clock struct {
	now time.Time
	v   Link
}

func newClock() *clock {
	now := time.Unix(1000, 0)
	return &clock{now: now, v: New(now)}
}

// run ticks for d; heard says whether the peer is heard in that time.
func (c *clock) run(d time.Duration, heard, control bool, rtt time.Duration) State {
	var st State
	start := c.now
	for end := c.now.Add(d); c.now.Before(end); {
		c.now = c.now.Add(Tick)
		silence := time.Duration(0)
		if !heard {
			silence = c.now.Sub(start)
		}
		st, _ = c.v.Observe(c.now, Look{Silence: silence, RTT: rtt, Control: control})
	}
	return st
}

func TestVitals(t *testing.T) {
	t.Parallel()
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	for _, tt := range []struct {
		name  string
		want  State
		steps func(c *clock) State
	}{
		{"heard", Alive, func(c *clock) State { return c.run(time.Minute, true, true, ms(10)) }},
		{"just silent", Alive, func(c *clock) State { return c.run(SuspectAfter-Tick, false, true, ms(10)) }},
		{"silent", Suspect, func(c *clock) State { return c.run(SuspectAfter, false, true, ms(10)) }},
		{"long round trips are waited for", Alive, func(c *clock) State { return c.run(ms(1500), false, true, ms(400)) }},
		{"silent for long round trips", Suspect, func(c *clock) State { return c.run(ms(1700), false, true, ms(400)) }},
		{"dead", Dead, func(c *clock) State { return c.run(DeadAfter, false, true, ms(10)) }},
		{"back", Alive, func(c *clock) State {
			c.run(DeadAfter-time.Second, false, true, ms(10))
			return c.run(Tick, true, true, ms(10))
		}},
		{"no control connection for a while", Alive, func(c *clock) State {
			c.v.ControlLost(c.now)
			return c.run(NoControlAfter-time.Second, true, false, ms(10))
		}},
		{"control connection came back", Alive, func(c *clock) State {
			c.v.ControlLost(c.now)
			c.run(NoControlAfter-time.Second, true, false, ms(10))
			c.run(Tick, true, true, ms(10))
			return c.run(NoControlAfter, true, true, ms(10))
		}},
		{"no control connection for too long", Dead, func(c *clock) State {
			c.v.ControlLost(c.now)
			return c.run(NoControlAfter+Tick, true, false, ms(10))
		}},
		{"a connection ended, and then silence", Alive, func(c *clock) State {
			c.v.Doubt(c.now, false)
			return c.run(SuspectAfter-Tick, false, true, ms(10))
		}},
		{"all of a transport ended, and then silence", Suspect, func(c *clock) State {
			c.v.Doubt(c.now, true)
			return c.run(GoneAfter-Tick, false, true, ms(10))
		}},
		{"all of a transport ended, and silence for too long", Dead, func(c *clock) State {
			c.v.Doubt(c.now, true)
			return c.run(GoneAfter, false, true, ms(10))
		}},
		{"the same after a silence", Suspect, func(c *clock) State {
			c.run(GoneAfter, false, true, ms(10))
			c.v.Doubt(c.now, true)
			st, _ := c.v.Observe(c.now.Add(Tick), Look{Silence: GoneAfter + Tick, RTT: ms(10), Control: true})
			return st
		}},
		{"long round trips take longer to prove", Suspect, func(c *clock) State {
			c.run(Tick, true, true, ms(400))
			c.v.Doubt(c.now, true)
			return c.run(GoneAfter, false, false, 0) // the control connection has ended, too
		}},
		{"all of a transport ended, and another connection is heard", Alive, func(c *clock) State {
			c.v.Doubt(c.now, true)
			return c.run(2*GoneAfter, true, true, ms(10))
		}},
		{"there is a successor", Suspect, func(c *clock) State {
			c.v.Doubt(c.now, true)
			st, _ := c.v.Observe(c.now.Add(Tick), Look{Elsewhere: true})
			return st
		}},
		{"another link alone is none", Alive, func(c *clock) State {
			c.v.Doubt(c.now, false)
			st, _ := c.v.Observe(c.now.Add(Tick), Look{Elsewhere: true})
			return st
		}},
		{"proven since", Alive, func(c *clock) State {
			c.v.Doubt(c.now, true)
			c.v.Proven(c.now.Add(Tick))
			st, _ := c.v.Observe(c.now.Add(Tick), Look{Elsewhere: true})
			return st
		}},
		{"this process was stopped after all of a transport ended", Suspect, func(c *clock) State {
			c.v.Doubt(c.now, true)
			c.run(SuspectAfter, false, true, ms(10))
			c.now = c.now.Add(time.Minute)
			st, _ := c.v.Observe(c.now, Look{Silence: time.Minute + SuspectAfter, RTT: ms(10), Control: true})
			return st
		}},
		{"this process was stopped", Alive, func(c *clock) State {
			c.run(time.Second, true, true, ms(10))
			c.now = c.now.Add(time.Minute) // no ticks meanwhile
			st, paused := c.v.Observe(c.now, Look{Silence: time.Minute, RTT: ms(10), Control: true})
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
	c.now = c.now.Add(Tick / 2)
	c.v.Doubt(c.now, false)
	if !c.v.Doubtful() {
		t.Error("not doubtful after a connection ended")
	}
	c.run(Tick, true, true, 0)
	c.v.Proven(before)
	if !c.v.Doubtful() {
		t.Error("not doubtful although what was heard since may have been on its way before")
	}
	c.v.Proven(c.now)
	if c.v.Doubtful() {
		t.Error("doubtful although a ping sent since was answered")
	}
	c.v.Proven(before)
	if c.v.Doubtful() {
		t.Error("doubtful again by an old answer")
	}
}
