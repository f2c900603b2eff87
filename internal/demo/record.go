package demo

import (
	"context"
	"regexp"
	"sync"
	"time"

	"github.com/eastway/eastway/internal/journal"
)

// hop is one application's part of an answer.
type hop struct{ service, zone, ip string }

// record is what became of one request of the load.
type record struct {
	id     string
	method string
	entry  string // zone of the caller
	phase  int
	start  time.Time
	end    time.Time
	// crossing: it began while calls of its cluster went to the other one.
	crossing bool
	hops     []hop  // of a whole answer
	failure  string // "" when it was answered
}

func (r *record) ok() bool { return r.failure == "" }

// mockb is the zone where mockb answered, "" if it did not.
func (r *record) mockb() string {
	for _, h := range r.hops {
		if h.service == roleMockb {
			return h.zone
		}
	}
	return ""
}

// home reports whether the whole chain answered from the zone where the request entered.
func (r *record) home() bool {
	for _, h := range r.hops {
		if h.zone != r.entry {
			return false
		}
	}
	return r.ok()
}

// failedAt finds the addresses that a failure names: those of the connections on which it came back.
var failedAt = regexp.MustCompile(`at (127(?:\.\d{1,3}){3}:\d{1,5}) from`)

// failedOn is the address of the connection on which the failure began, "" if it names none.
func failedOn(failure string) string {
	all := failedAt.FindAllStringSubmatch(failure, -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1][1] // the innermost
}

var hopPattern = regexp.MustCompile(`-> ([a-z]+)\(version: ([a-z0-9-]+), ip: ([0-9.]+)\)`)

// parseChain reads an answer; false when it is not that of the whole chain, in order.
func parseChain(text string) ([]hop, bool) {
	var hops []hop
	for _, m := range hopPattern.FindAllStringSubmatch(text, len(chain())+1) {
		hops = append(hops, hop{service: m[1], zone: m[2], ip: m[3]})
	}
	if len(hops) != len(chain()) {
		return hops, false
	}
	for i, name := range chain() {
		if hops[i].service != name {
			return hops, false
		}
	}
	return hops, true
}

// recorder collects records in the order in which the requests ended.
type recorder struct {
	ended journal.Journal[record]

	mu       sync.Mutex
	phase    int
	crossing bool
}

// begin is called when a request is sent: it belongs to the phase of that moment.
func (r *recorder) begin(entry, id, method string) record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return record{id: id, method: method, entry: entry, phase: r.phase, crossing: r.crossing, start: time.Now()}
}

func (r *recorder) end(rec record) {
	rec.end = time.Now()
	r.ended.Add(rec)
}

func (r *recorder) setPhase(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.phase = n
}

// setCrossing marks requests that begin from now on.
func (r *recorder) setCrossing(crossing bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.crossing = crossing
}

// since are the records that ended at or after t.
func (r *recorder) since(t time.Time) []record {
	records := r.ended.All()
	i := len(records)
	for i > 0 && !records[i-1].end.Before(t) {
		i--
	}
	return records[i:]
}

// await returns when cond holds for the records of requests that were sent after it
// was called, or with ctx's error.
func (r *recorder) await(ctx context.Context, cond func([]record) bool) error {
	called := time.Now()
	return r.ended.Await(ctx, func(rec *record) bool { return !rec.start.Before(called) }, cond)
}

// lastOf holds when the newest n records of each of the zones satisfy good.
func lastOf(n int, zones []string, good func(*record) bool) func([]record) bool {
	return journal.LastOf(n, zones, func(r *record) string { return r.entry }, good)
}
