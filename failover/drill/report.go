package drill

import (
	"cmp"
	"math"
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
	// Affected are the calls of the run that would have gone into the scope first, or that failed because nothing but the scope was left.
	Affected Calls `json:"affected"`
	// Beside are the other calls of the run: they went where they would have gone without it.
	Beside Calls `json:"beside"`
	// Others are those of the same scope and callers that were left alone meanwhile.
	Others Calls `json:"others"`
	// Spared are those of Others that were left alone because too many affected calls had no result yet.
	Spared uint64 `json:"spared,omitempty"`
	// Pending are affected calls whose result is not known yet. It goes on changing after the end, as all counts do.
	Pending int64 `json:"pending,omitempty"`
	// Peak is how many of the affected calls were under way at a time at most, Mean how many on average.
	Peak int64   `json:"peak"`
	Mean float64 `json:"mean"`
	// Moves are where affected calls went, most of them first.
	Moves []Move `json:"moves,omitempty"`
}

// Calls are counts of calls that an endpoint accepted, or that ended without.
type Calls struct {
	Total uint64 `json:"total"`
	// Failed are those of them that failed, also after they were accepted.
	Failed uint64 `json:"failed"`
	// Failures are the failed ones by their result in the access log.
	Failures map[string]uint64 `json:"failures,omitempty"`
	// Took is how long they took until there was the head of an answer, or a connection was accepted.
	Took Histogram `json:"took"`
}

// Move is how many calls went from one place to another.
type Move struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Calls uint64 `json:"calls"`
}

// add counts a call that was accepted, or has ended without.
func (c *Calls) add(e *access.Entry) {
	c.Total++
	switch {
	case e.Accepted > 0:
		c.Took.add(e.Accepted)
	case e.HTTP != nil:
		c.Took.add(time.Since(e.Started))
	}
}

// fail counts one of them as failed.
func (c *Calls) fail(e *access.Entry) {
	c.Failed++
	if c.Failures == nil {
		c.Failures = make(map[string]uint64)
	}
	c.Failures[e.Result]++
}

// hasFailed is true if the application sees an error that is not of its own making. A policy's rateLimit refuses what comes too often,
// also without a drill.
func hasFailed(e *access.Entry) bool {
	switch e.Result {
	case access.NoEndpoint, access.Timeout, access.UnknownOutcome, access.Lost, access.Limit, access.Error:
		return true
	}
	return e.HTTP != nil && (e.HTTP.Status >= 500 || e.HTTP.Judged >= 500 || e.Result == access.Reset)
}

// Merge adds what another proxy of the same run reports.
func (r *Report) Merge(o *Report) {
	r.Affected.merge(&o.Affected)
	r.Beside.merge(&o.Beside)
	r.Others.merge(&o.Others)
	r.Spared += o.Spared
	r.Pending += o.Pending
	r.Peak += o.Peak
	r.Mean += o.Mean
	r.Elapsed = max(r.Elapsed, o.Elapsed)
	r.Ended = cmp.Or(r.Ended, o.Ended)
	for _, m := range o.Moves {
		r.moved(m.From, m.To, m.Calls)
	}
	r.sort()
}

func (c *Calls) merge(o *Calls) {
	c.Total += o.Total
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

// AtFull estimates how many calls would be under way in other places on average, if all calls had lost the scope.
func (r *Report) AtFull() int64 {
	return int64(math.Ceil(r.Mean * 100 / max(r.Spec.Percent, minPercent)))
}
