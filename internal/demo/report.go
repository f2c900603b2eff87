package demo

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Report is what `eastway demo --json` writes. Times are in milliseconds.
type Report struct {
	Phases []PhaseReport `json:"phases"`
	Total  Totals        `json:"total"`
	// Unexpected are the failures beyond the expected ones.
	Unexpected []Failure `json:"unexpected"`
	// ExecutedTwice are the requests, other than GET, that one service began more than once.
	ExecutedTwice []Execution `json:"executedTwice"`
	// Repeated are the GETs that one service began more than once: a proxy sends a GET again when its answer does not come.
	Repeated []Execution `json:"repeated"`
	// Missed are effects that did not come in time.
	Missed []string `json:"missed"`
	// Saved are calls between services that would have failed without Eastway.
	Saved Saved `json:"saved"`
	// OK: nothing unexpected, nothing twice, nothing missed.
	OK bool `json:"ok"`
}

// Saved counts calls that were answered though the endpoint in the caller's own zone could not have. Both are
// read from the proxies' access logs.
type Saved struct {
	// Calls of all calls between services, and from the load to mocka.
	Calls int `json:"calls"`
	// AfterFailure: an attempt had failed before.
	AfterFailure int `json:"afterFailure"`
	// Elsewhere: the first attempt went outside the caller's zone, in which no endpoint was listening.
	Elsewhere int `json:"elsewhere"`
}

// Totals are counts of requests. Sent requests have all ended.
type Totals struct {
	Sent          int `json:"sent"`
	Failed        int `json:"failed"`
	Expected      int `json:"expectedFailures"`
	ExecutedTwice int `json:"executedTwice"`
}

// PhaseReport is one row of the table: the requests that began in that phase.
type PhaseReport struct {
	Name string `json:"name"`
	Totals
	// Latencies of answered requests, without those that waited in a proxy of their own
	// cluster while that was stopped.
	P50 float64 `json:"p50Millis"`
	P99 float64 `json:"p99Millis"`
	Max float64 `json:"maxMillis"`
	// MockbAnsweredBy counts, by zone, the answers to load that entered in cn-hangzhou.
	MockbAnsweredBy map[string]int `json:"mockbAnsweredBy"`
	// CrossedCalls of AllCalls between services went from one cluster to the other.
	CrossedCalls int `json:"crossedCalls"`
	AllCalls     int `json:"allCalls"`
	// FirstElsewhere is the time from the fault to the first answer from elsewhere or, in a phase of
	// repair, from home; nil in a phase that has neither.
	FirstElsewhere *float64 `json:"firstAnswerElsewhereMillis"`
	// Returns: FirstElsewhere is the time to the first answer from home.
	Returns bool `json:"returns,omitempty"`
}

// Failure is one request that failed though it need not have.
type Failure struct {
	ID     string `json:"id"`
	Method string `json:"method"`
	Entry  string `json:"enteredAt"`
	Phase  string `json:"phase"`
	// Began is the time since the first request, in milliseconds; Took how long it went on.
	Began float64 `json:"beganMillis"`
	Took  float64 `json:"tookMillis"`
	Error string  `json:"error"`
	// AccessLog are lines of the proxies about the connections named in Error.
	AccessLog []string `json:"accessLog"`
}

// Execution is a request that a service began more than once.
type Execution struct {
	ID      string   `json:"id"`
	Service string   `json:"service"`
	By      []string `json:"by"` // processes, once per execution
}

// evidence is everything that a report is made from.
type evidence struct {
	topo       topology
	phases     []phase
	records    []record
	ledger     *ledger
	executions executions
	calls      []loggedCall
	missed     []string
}

// report counts. It only looks at what is given, so that it can be tested.
func (e evidence) report() Report {
	r := Report{Unexpected: []Failure{}, Missed: append([]string{}, e.missed...)}
	r.ExecutedTwice, r.Repeated = e.executions.again()
	begun := time.Time{}
	for i := range e.records {
		rec := &e.records[i]
		if begun.IsZero() || rec.start.Before(begun) {
			begun = rec.start
		}
	}
	twice := make(map[string]bool)
	for _, x := range r.ExecutedTwice {
		twice[x.ID] = true
	}
	for i, p := range e.phases {
		row := PhaseReport{Name: p.name, Returns: p.home, MockbAnsweredBy: make(map[string]int)}
		var latencies []time.Duration
		for n := range e.records {
			rec := &e.records[n]
			if rec.phase != i {
				continue
			}
			if twice[rec.id] {
				row.ExecutedTwice++
			}
			if f := e.count(&row, rec); f != nil {
				f.Phase, f.Began = p.name, millis(rec.start.Sub(begun))
				r.Unexpected = append(r.Unexpected, *f)
			}
			if rec.ok() && !e.ledger.held(rec, e.topo.clusterOf(rec.entry)) {
				latencies = append(latencies, rec.end.Sub(rec.start))
			}
		}
		slices.Sort(latencies)
		row.P50, row.P99, row.Max = quantile(latencies, 0.5), quantile(latencies, 0.99), quantile(latencies, 1)
		row.FirstElsewhere = p.firstEffect(e.records)
		r.Phases = append(r.Phases, row)
		r.Total.add(row.Totals)
	}
	r.Saved = e.saved()
	// What ran twice without being of the load (a user's curl) counts as well.
	r.Total.ExecutedTwice = max(r.Total.ExecutedTwice, len(twice))
	slices.SortStableFunc(r.Unexpected, func(a, b Failure) int { return cmp.Compare(a.Began, b.Began) })
	r.OK = len(r.Unexpected) == 0 && r.Total.ExecutedTwice == 0 && len(r.Missed) == 0
	return r
}

func (t *Totals) add(o Totals) {
	t.Sent += o.Sent
	t.Failed += o.Failed
	t.Expected += o.Expected
	t.ExecutedTwice += o.ExecutedTwice
}

// count adds one request to its row, and returns it if it failed without an excuse.
func (e evidence) count(row *PhaseReport, rec *record) *Failure {
	row.Sent++
	home := e.topo.clusterOf(rec.entry)
	if rec.ok() {
		if home == homeCluster {
			row.MockbAnsweredBy[rec.mockb()]++
		}
		crossed, all := crossedCalls(e.topo, rec)
		row.CrossedCalls += crossed
		row.AllCalls += all
		return nil
	}
	row.Failed++
	if e.ledger.excuse(rec, home, e.executions.by(rec.id), e.topo.proxyAt(failedOn(rec.failure))) != "" {
		row.Expected++
		return nil
	}
	return &Failure{
		ID: rec.id, Method: rec.method, Entry: rec.entry, Took: millis(rec.end.Sub(rec.start)),
		Error: rec.failure, AccessLog: []string{},
	}
}

// saved counts the calls of the phases that would have failed without Eastway.
func (e evidence) saved() Saved {
	var s Saved
	for i := range e.calls {
		c := &e.calls[i]
		if len(e.phases) == 0 || c.begun.Before(e.phases[0].begun) {
			continue // while the world was being made
		}
		s.Calls++
		switch {
		case !c.answered:
		case c.failures > 0:
			s.AfterFailure++
		case c.from != c.to && !e.ledger.listening(c.from, c.service, c.begun):
			s.Elsewhere++
		}
	}
	return s
}

// firstEffect is the time from the fault to the first answer that shows its effect.
func (p phase) firstEffect(records []record) *float64 {
	if p.effect == nil {
		return nil
	}
	var first *float64
	for i := range records {
		rec := &records[i]
		if rec.end.Before(p.fault) || !p.effect(rec) {
			continue
		}
		if t := millis(rec.end.Sub(p.fault)); first == nil || t < *first {
			first = &t
		}
	}
	return first
}

// crossedCalls counts the calls between the services of one chain, and those of them
// whose two ends were in different clusters.
func crossedCalls(t topology, rec *record) (crossed, all int) {
	for i := 1; i < len(rec.hops); i++ {
		all++
		if t.clusterOf(rec.hops[i-1].zone) != t.clusterOf(rec.hops[i].zone) {
			crossed++
		}
	}
	return crossed, all
}

// crossedShare is the share of calls between services, and of whole chains, that went
// from one cluster to the other.
func crossedShare(t topology, records []record) (calls, chains string) {
	var crossed, total, crossedChains, answered int
	for i := range records {
		c, n := crossedCalls(t, &records[i])
		crossed, total = crossed+c, total+n
		if n > 0 {
			answered++
		}
		if c > 0 {
			crossedChains++
		}
	}
	if total == 0 {
		return "-", "-"
	}
	return percent(crossed, total), percent(crossedChains, answered)
}

// quantile is the nearest rank in sorted times, in milliseconds; 0 of none.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(sorted))))
	return millis(sorted[min(max(rank, 1), len(sorted))-1])
}

// millis has a grain of 10 µs.
func millis(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

// round is for people.
func round(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}
