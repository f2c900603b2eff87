package vitals

import "time"

// Absence notes since when something is missing. The zero value has seen nothing.
type Absence struct {
	since time.Time
	said  bool
}

// Due takes one look, and is true once when it has been missing for that long.
func (a *Absence) Due(now time.Time, missing bool, after time.Duration) bool {
	switch {
	case !missing:
		*a = Absence{}
	case a.since.IsZero():
		a.since = now
	case !a.said && now.Sub(a.since) >= after:
		a.said = true
		return true
	}
	return false
}
