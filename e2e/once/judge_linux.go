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

	"github.com/eastway/eastway/e2e/verdict"
)

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
			r.violate(&call{id: id, Call: verdict.Call{Post: post, Status: http.StatusOK}}, verdict.Vanished, 0)
		case ok && post && executed[id] > 1:
			r.violate(&call{id: id, Call: verdict.Call{Post: post, Status: http.StatusOK}}, verdict.Twice, executed[id])
		}
	}
	slices.SortFunc(l.failed, func(a, b call) int { return cmp.Compare(a.id, b.id) })
	for i := range l.failed {
		c := &l.failed[i]
		v := c.Judge(int(executed[c.id]), l.w.killed())
		r.Others[method(c.Post)][string(v)]++
		if v.Violation() {
			r.violate(c, v, executed[c.id])
		}
	}
	return r
}

func (r *result) violate(c *call, v verdict.Verdict, executed uint8) {
	if len(r.Violations) == mostShown {
		return
	}
	r.Violations = append(r.Violations, fmt.Sprintf("%s %d through proxy %d, %s to %s: %s: status %d, reason %q, error %q, executed %d times",
		method(c.Post), c.id, c.Entry, c.Start.Format(time.StampMilli), c.End.Format(time.StampMilli), v, c.Status, c.Reason, c.Err, executed))
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
