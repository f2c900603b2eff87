package status

import (
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/eastway/eastway/internal/pace"
)

const (
	// echo is how long a change that was written may take to come back by the watch, before it is written again.
	echo = 10 * time.Second
	// minBackoff and maxBackoff are the waits between two attempts to write one status, before jitter. What a person must do first (grant a
	// right) has the longer one from the start.
	minBackoff = time.Second
	maxBackoff = 30 * time.Second
	// frequent is how many writes of one object, each within a minute of the one before, are made at once: another controller may write
	// it, too. Further ones are made every pause.
	frequent = 20
	pause    = 5 * time.Second
	calm     = time.Minute
)

// queue says which changes to write when. It is fed with times.
type queue struct {
	held   map[ID]hold
	writes map[ID]writes
}

// writes of an object in a row.
type writes struct {
	count int
	last  time.Time
}

// hold is why an object is not written now.
type hold struct {
	until    time.Time
	version  string // what came after it may be written at once; empty: nothing
	failures int
}

// due are the changes to write now, and when there may be more: zero if only a new picture can bring some. Objects without a change are forgotten.
func (q *queue) due(changes []Change, now time.Time) (send []Change, next time.Time) {
	held := make(map[ID]hold, len(q.held))
	for i := range changes {
		c := &changes[i]
		h, known := q.held[c.ID]
		if known {
			held[c.ID] = h
		}
		until := h.until
		if !known || h.version != "" && h.version != c.Version {
			until = time.Time{}
		}
		if w := q.writes[c.ID]; w.count >= frequent && until.Before(w.last.Add(pause)) {
			until = w.last.Add(pause)
		}
		if !now.Before(until) {
			send = append(send, *c)
			continue
		}
		if next.IsZero() || until.Before(next) {
			next = until
		}
	}
	q.held = held
	for id, w := range q.writes {
		if now.Sub(w.last) > calm {
			delete(q.writes, id)
		}
	}
	return send, next
}

// done notes what came of a change. The random number, in [0, 1), spreads attempts.
func (q *queue) done(c *Change, err error, now time.Time, random float64) {
	if q.held == nil {
		q.held = make(map[ID]hold)
	}
	failures := q.held[c.ID].failures + 1
	wait := pace.Spread(pace.Backoff(failures, minBackoff, maxBackoff), 1, 1.2, random)
	switch {
	case err == nil, apierrors.IsNotFound(err):
		q.held[c.ID] = hold{until: now.Add(echo), version: c.Version}
		if q.writes == nil {
			q.writes = make(map[ID]writes)
		}
		q.writes[c.ID] = writes{count: q.writes[c.ID].count + 1, last: now}
	case apierrors.IsConflict(err): // the watch brings what the object is now
		q.held[c.ID] = hold{until: now.Add(wait), version: c.Version, failures: failures}
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		q.held[c.ID] = hold{until: now.Add(pace.Spread(maxBackoff, 1, 1.2, random)), failures: failures}
	default:
		q.held[c.ID] = hold{until: now.Add(wait), failures: failures}
	}
}
