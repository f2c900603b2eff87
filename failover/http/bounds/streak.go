package bounds

import "time"

// Streak is how long tries in a row have gone on that no endpoint has executed. The zero Streak is that before the first one.
type Streak struct{ since time.Time }

// Begin begins a try.
func (s *Streak) Begin() {
	if s.since.IsZero() {
		s.since = time.Now()
	}
}

// Took is the time since the first of them began.
func (s *Streak) Took() time.Duration { return time.Since(s.since) }
