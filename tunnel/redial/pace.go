package redial

import (
	"math/rand/v2"
	"time"
)

const (
	// Min and Max bound the time between attempts, before it is jittered.
	Min = 100 * time.Millisecond
	Max = 5 * time.Second
	// part of the time without success passes before the next attempt: a process that restarts is found again after a quarter more
	// than it takes, and one that stays away for long costs an attempt every Max.
	part = 4
	// provenAfter is how long what was reached has to last for its end to be a new beginning.
	provenAfter = 2 * Max
)

// Pace is that of one address. The zero value is that of an address that was never dialed.
type Pace struct {
	failing time.Time // since when, without the time in which it worked; zero: it is not
}

// Failed notes that an attempt failed, or that what it had reached has ended. It returns the jittered time until the next one, from
// half to one and a half of at most that long.
func (p *Pace) Failed(now time.Time, most time.Duration) time.Duration {
	if p.failing.IsZero() {
		p.failing = now
	}
	return Jitter(min(max(now.Sub(p.failing)/part, Min), most))
}

// Worked notes for how long what was reached has lasted. A short time does not count, neither for nor against it.
func (p *Pace) Worked(d time.Duration) {
	if d >= provenAfter || p.failing.IsZero() {
		p.failing = time.Time{}
		return
	}
	p.failing = p.failing.Add(d)
}

// Reset notes that the address answered.
func (p *Pace) Reset() { p.failing = time.Time{} }

// Jitter is from half of d to one and a half.
func Jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }
