package tally

import "time"

const (
	// LogInterval is the least time between two log lines about one Tally.
	LogInterval = time.Minute
	// Shown is how long status shows something after it last happened.
	Shown = 10 * time.Minute
)

// Tally counts one kind of event. The zero value is ready to use.
type Tally struct {
	// Recent counts the events since status shows them.
	Recent uint64
	// Last is when the last one happened.
	Last time.Time

	pending uint64 // since the last log line
	logged  time.Time
}

// Note counts n events. It returns how many to log now; 0: write no log line.
func (t *Tally) Note(now time.Time, n uint64) (due uint64) {
	if t.Over(now) {
		t.Recent = 0
	}
	t.Last, t.Recent, t.pending = now, t.Recent+n, t.pending+n
	if !t.logged.IsZero() && now.Sub(t.logged) < LogInterval {
		return 0
	}
	due, t.pending, t.logged = t.pending, 0, now
	return due
}

// Over is true if there was no event for so long that status does not show it.
func (t *Tally) Over(now time.Time) bool { return t.Last.IsZero() || now.Sub(t.Last) > Shown }
