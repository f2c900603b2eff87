package drill

import (
	"cmp"
	"slices"
	"time"

	"github.com/eastway/eastway/failover/access"
)

// Report is what has come of a run at one proxy.
type Report struct {
	ID      string    `json:"id"`
	Spec    Spec      `json:"spec"`
	Started time.Time `json:"started"`
	// Elapsed is how long it has run, Left how much longer it may.
	Elapsed time.Duration `json:"elapsed"`
	Left    time.Duration `json:"left"`
	// Ended is why it ended; empty: it runs.
	Ended string `json:"ended,omitempty"`
	// Calls are those of the run, Others those of the same scope and callers that were left alone meanwhile.
	Calls  Calls `json:"calls"`
	Others Calls `json:"others"`
	// Affected are the calls of the run that would have gone into the scope first.
	Affected uint64 `json:"affected"`
	// Peak is how many of the affected calls were under way at a time.
	Peak int64 `json:"peak"`
	// Moves are where affected calls went, most of them first.
	Moves []Move `json:"moves,omitempty"`
}

// Calls are counts of calls that have ended.
type Calls struct {
	Ended  uint64 `json:"ended"`
	Failed uint64 `json:"failed"`
	// Failures are the failed ones by their result in the access log.
	Failures map[string]uint64 `json:"failures,omitempty"`
	// Took is how long requests took, or connections until an endpoint accepted them.
	Took Histogram `json:"took"`
}

// Move is how many calls went from one place to another.
type Move struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Calls uint64 `json:"calls"`
}

// add counts a call that has ended.
func (c *Calls) add(e *access.Entry, now time.Time) (failed bool) {
	c.Ended++
	switch {
	case e.HTTP != nil:
		c.Took.add(now.Sub(e.Started))
	case e.Accepted > 0:
		c.Took.add(e.Accepted)
	}
	if !hasFailed(e) {
		return false
	}
	c.Failed++
	if c.Failures == nil {
		c.Failures = make(map[string]uint64)
	}
	c.Failures[e.Result]++
	return true
}

// hasFailed is true if the application sees an error that is not of its own making.
func hasFailed(e *access.Entry) bool {
	switch e.Result {
	case access.NoEndpoint, access.Timeout, access.UnknownOutcome, access.Lost, access.Limit, access.RateLimited, access.Error:
		return true
	}
	return e.HTTP != nil && (e.HTTP.Status >= 500 || e.Result == access.Reset)
}

// Merge adds what another proxy of the same run reports.
func (r *Report) Merge(o *Report) {
	r.Calls.merge(&o.Calls)
	r.Others.merge(&o.Others)
	r.Affected += o.Affected
	r.Peak += o.Peak
	r.Elapsed = max(r.Elapsed, o.Elapsed)
	r.Ended = cmp.Or(r.Ended, o.Ended)
	for _, m := range o.Moves {
		r.moved(m.From, m.To, m.Calls)
	}
	r.sort()
}

func (c *Calls) merge(o *Calls) {
	c.Ended += o.Ended
	c.Failed += o.Failed
	c.Took.Add(&o.Took)
	for result, n := range o.Failures {
		if c.Failures == nil {
			c.Failures = make(map[string]uint64)
		}
		c.Failures[result] += n
	}
}

// otherPlaces stands for what a report has no room for.
const otherPlaces = "other places"

func (r *Report) moved(from, to string, n uint64) {
	i := slices.IndexFunc(r.Moves, func(m Move) bool { return m.From == from && m.To == to })
	if i < 0 && len(r.Moves) >= maxMoves && to != otherPlaces {
		r.moved(otherPlaces, otherPlaces, n)
		return
	}
	if i < 0 {
		i = len(r.Moves)
		r.Moves = append(r.Moves, Move{From: from, To: to})
	}
	r.Moves[i].Calls += n
}

func (r *Report) sort() {
	slices.SortStableFunc(r.Moves, func(a, b Move) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
}

// AtFull estimates how many calls would be under way in other places at a time, if all calls had lost the scope.
func (r *Report) AtFull() int64 { return int64(float64(r.Peak) * 100 / r.Spec.Percent) }
