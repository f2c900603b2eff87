package judge

import "time"

// state is up or down, with hysteresis: it changes after some results in a row, and an address that goes up and down stays down longer each
// time. The zero value is not judged yet; the first result decides.
type state struct {
	judged bool
	up     bool
	since  time.Time // of the last change
	streak int       // results in a row that speak against the state
	downs  int       // how often it went down, until it is calm
	// forgotten: it was judged once. up is what it was.
	forgotten bool
	hold      time.Time // it stays down until then
}

// feed takes a result.
func (s *state) feed(now time.Time, ok bool, toDown, toUp int) {
	if !s.judged {
		s.first(now, ok, toDown)
		return
	}
	if s.up && s.downs > 0 && now.Sub(s.since) >= calm {
		s.downs = 0
	}
	if ok == s.up {
		s.streak = 0
		return
	}
	s.streak++
	switch {
	case s.up && s.streak >= toDown:
		s.downs++
		s.hold = now.Add(holdOf(s.downs))
	case !s.up && s.streak >= toUp && !now.Before(s.hold):
	default:
		return
	}
	s.up, s.since, s.streak = ok, now, 0
}

// first takes a result of what is not judged, or not any more: then its past counts, and bad results must be repeated.
func (s *state) first(now time.Time, ok bool, toDown int) {
	if s.forgotten && s.up && now.Sub(s.since) >= calm {
		s.downs = 0
	}
	if s.streak++; s.forgotten && !ok && s.streak < toDown {
		return
	}
	if s.forgotten && s.up && !ok {
		s.downs++
		s.hold = now.Add(holdOf(s.downs))
	}
	s.judged, s.up, s.since, s.streak = true, ok && !now.Before(s.hold), now, 0
}

// forget has the next results judge anew.
func (s *state) forget() { s.judged, s.forgotten, s.streak = false, s.judged || s.forgotten, 0 }

// held is the time left in which good results do not bring it up.
func (s *state) held(now time.Time) time.Duration {
	if s.up || !now.Before(s.hold) {
		return 0
	}
	return s.hold.Sub(now)
}

func holdOf(downs int) time.Duration {
	if downs < 2 {
		return 0
	}
	hold := holdMin
	for range downs - 2 {
		if hold *= 2; hold >= holdMax {
			return holdMax
		}
	}
	return hold
}
