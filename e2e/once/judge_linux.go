package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// outage is a time during which a proxy of home was killed: what its callers have under way fails.
type outage struct {
	entry    int
	from, to time.Time
}

// verdict is what became of a request that was not answered 200.
type verdict string

// Verdicts on requests that need not have been answered 200.
const (
	entryKilled verdict = "ended with the killed proxy of its caller"
	brokenOff   verdict = "answer began and broke off"
	answeredErr verdict = "answered 503 by the application, and passed on"
	unknown     verdict = "503 unknown-outcome, executed once"
	unknownNot  verdict = "503 unknown-outcome, not executed"
	timedOut    verdict = "504 timeout of one try"
)

// Violations.
const (
	twice      verdict = "executed twice"
	vanished   verdict = "answered 200 and not executed"
	wrongClaim verdict = "answered not executed, and was executed"
	lost       verdict = "not executed, with an endpoint to be reached"
	failed     verdict = "failed"
)

func (v verdict) violation() bool {
	return slices.Contains([]verdict{twice, vanished, wrongClaim, lost, failed}, v)
}

// judge one request that was not answered 200; executed is how often it was.
func (c *call) judge(executed int, outages []outage) verdict {
	switch {
	case c.post && executed > 1:
		return twice
	case c.notExecuted() && executed > 0:
		return wrongClaim
	case slices.ContainsFunc(outages, c.meets):
		return entryKilled
	case c.notExecuted():
		return lost
	case c.status == http.StatusOK && c.err != "":
		return brokenOff
	case !c.post:
		return failed
	case c.broken:
		return answeredErr
	case c.reason == "unknown-outcome" && executed == 1:
		return unknown
	case c.reason == "unknown-outcome":
		return unknownNot
	case c.reason == "timeout":
		return timedOut
	}
	return failed
}

// notExecuted is what Eastway says of requests that reached no endpoint.
func (c *call) notExecuted() bool {
	return c.reason == "no-endpoint" || c.reason == "not-executed" || c.reason == "overflow"
}

func (c *call) meets(o outage) bool {
	return c.entry == o.entry && c.end.After(o.from) && c.start.Before(o.to)
}

// result is what the command prints.
type result struct {
	Posts    int                       `json:"posts"`
	Gets     int                       `json:"gets"`
	Answered map[string]int            `json:"answered"` // 200, by method
	Repeated int                       `json:"repeatedGets"`
	Others   map[string]map[string]int `json:"notAnswered200"` // by method and verdict
	Faults   map[string]int            `json:"faults"`
	Seconds  float64                   `json:"seconds"`
	// Violations are sentences, one per request, at most mostShown.
	Violations []string `json:"violations"`
}

// mostShown bounds the violations of a result.
const mostShown = 50

func (l *load) judge(executed []uint8) *result {
	r := &result{
		Posts: l.o.posts, Gets: l.o.gets, Seconds: l.took.Seconds(), Answered: make(map[string]int),
		Others: map[string]map[string]int{http.MethodGet: {}, http.MethodPost: {}}, Violations: []string{},
	}
	for id, ok := range l.ok {
		post := l.isPost(id)
		if ok {
			r.Answered[method(post)]++
		}
		switch {
		case !post && executed[id] > 1:
			r.Repeated++
		case ok && executed[id] == 0:
			r.violate(&call{id: id, post: post, status: http.StatusOK}, vanished, 0)
		case ok && post && executed[id] > 1:
			r.violate(&call{id: id, post: post, status: http.StatusOK}, twice, executed[id])
		}
	}
	slices.SortFunc(l.failed, func(a, b call) int { return cmp.Compare(a.id, b.id) })
	for i := range l.failed {
		c := &l.failed[i]
		v := c.judge(int(executed[c.id]), l.w.killed())
		r.Others[method(c.post)][string(v)]++
		if v.violation() {
			r.violate(c, v, executed[c.id])
		}
	}
	return r
}

func (r *result) violate(c *call, v verdict, executed uint8) {
	if len(r.Violations) == mostShown {
		return
	}
	r.Violations = append(r.Violations, fmt.Sprintf("%s %d through proxy %d, %s to %s: %s: status %d, reason %q, error %q, executed %d times",
		method(c.post), c.id, c.entry, c.start.Format(time.StampMilli), c.end.Format(time.StampMilli), v, c.status, c.reason, c.err, executed))
}

func method(post bool) string {
	if post {
		return http.MethodPost
	}
	return http.MethodGet
}

func (r *result) print(out io.Writer) {
	total := 0
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(r.Faults)) {
		total += r.Faults[kind]
		kinds = append(kinds, fmt.Sprintf("%d %s", r.Faults[kind], kind))
	}
	fmt.Fprintf(out, "%d faults in %.0f s (%.0f requests/s): %s\n",
		total, r.Seconds, float64(r.Posts+r.Gets)/r.Seconds, strings.Join(kinds, ", "))
	fmt.Fprintf(out, "POST  %d sent, %d answered 200\n", r.Posts, r.Answered[http.MethodPost])
	others(out, r.Others[http.MethodPost])
	fmt.Fprintf(out, "GET   %d sent, %d answered 200; %d executed more than once\n", r.Gets, r.Answered[http.MethodGet], r.Repeated)
	others(out, r.Others[http.MethodGet])
	for _, v := range r.Violations {
		fmt.Fprintln(out, "VIOLATION", v)
	}
	fmt.Fprintf(out, "%d violations\n", len(r.Violations))
}

func others(out io.Writer, by map[string]int) {
	for _, v := range slices.Sorted(maps.Keys(by)) {
		fmt.Fprintf(out, "      %d %s\n", by[v], v)
	}
}
