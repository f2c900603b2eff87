package drills

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/eastway/eastway/e2e/apps/chain"
	"github.com/eastway/eastway/e2e/apps/load"
)

// record is what became of one call or stream of a load.
type record struct {
	load.Record
	// zone where the load was made.
	zone string
	hops []chain.Hop
}

func newRecord(zone string, r load.Record) record {
	made := record{Record: r, zone: zone, hops: chain.Parse(r.Answer)}
	// An answer is the whole chain's: nobody may leave out half of it.
	if r.Error == "" && r.Kind == load.KindCall && !slices.Contains([]string{"mocka mockb mockc", "solo-1", "solo-2"}, chain.Names(made.hops)) {
		made.Error = "not the answer of the whole chain: " + r.Answer
	}
	return made
}

func (r *record) ok() bool   { return r.Error == "" }
func (r *record) call() bool { return r.Kind == load.KindCall }

// by is the zone where an application of that name answered, "" if none did.
func (r *record) by(name string) string {
	for _, h := range r.hops {
		if h.Name == name {
			return h.Zone
		}
	}
	return ""
}

// home: the whole chain answered from the zone of the caller.
func (r *record) home() bool {
	return r.ok() && !slices.ContainsFunc(r.hops, func(h chain.Hop) bool { return h.Zone != r.zone })
}

// recorder collects records in the order in which the requests ended.
type recorder struct {
	mu      sync.Mutex
	records []record
	changed chan struct{} // closed and replaced with each record
}

func newRecorder() *recorder { return &recorder{changed: make(chan struct{})} }

func (r *recorder) add(one record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, one)
	close(r.changed)
	r.changed = make(chan struct{})
}

// after are the records from number n on, and a channel that is closed when there are more.
func (r *recorder) after(n int) ([]record, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.records[n:]), r.changed
}

// await returns when the condition holds for the records of requests that began
// at or after a moment, or with the context's error.
func (r *recorder) await(ctx context.Context, from time.Time, condition func([]record) bool) error {
	var fresh []record
	for seen := 0; ; {
		records, changed := r.after(seen)
		seen += len(records)
		for i := range records {
			if !records[i].Start.Before(from) {
				fresh = append(fresh, records[i])
			}
		}
		if condition(fresh) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lastOf holds when the newest n calls of the chain from each of the zones satisfy good.
func lastOf(n int, zones []string, good func(*record) bool) func([]record) bool {
	return func(records []record) bool {
		for _, zone := range zones {
			run := 0
			for i := len(records) - 1; i >= 0 && run < n; i-- {
				r := &records[i]
				if r.zone != zone || !r.call() || r.Target != chainURL {
					continue
				}
				if !good(r) {
					return false
				}
				run++
			}
			if run < n {
				return false
			}
		}
		return true
	}
}
