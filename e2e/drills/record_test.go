package drills

import (
	"slices"
	"strings"

	"github.com/eastway/eastway/e2e/apps/chain"
	"github.com/eastway/eastway/e2e/apps/load"
	"github.com/eastway/eastway/internal/journal"
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
	// An answer is the whole chain's: half of it must not be missing.
	if r.Error == "" && r.Kind == load.KindCall && !slices.Contains(wholes(), chain.Names(made.hops)) {
		made.Error = "not the answer of the whole chain: " + r.Answer
	}
	return made
}

// wholes are the applications of whole answers. Reviews v1 do not call ratings.
func wholes() []string {
	return []string{
		"mocka mockb mockc", "solo-1", "solo-2", "httpbin", "near", "far", "mydb",
		"productpage details reviews", "productpage details reviews ratings",
	}
}

func (r *record) ok() bool   { return r.Error == "" }
func (r *record) call() bool { return r.Kind == load.KindCall }

// mayCross: it is for another cluster, or for a service that may be there.
func (r *record) mayCross() bool {
	return r.Kind == load.KindStream || strings.Contains(r.Target, "clusterset.local")
}

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

// lastOf holds when the newest n calls of the chain from each of the zones satisfy good.
func lastOf(n int, zones []string, good func(*record) bool) func([]record) bool {
	return lastTo(n, zones, []string{chainURL}, good)
}

// lastTo holds when the newest n calls from each of the zones to each of the URLs satisfy good.
func lastTo(n int, zones, urls []string, good func(*record) bool) func([]record) bool {
	var groups []string
	for _, zone := range zones {
		for _, url := range urls {
			groups = append(groups, zone+" "+url)
		}
	}
	groupOf := func(r *record) string {
		if !r.call() {
			return ""
		}
		return r.zone + " " + r.Target
	}
	return journal.LastOf(n, groups, groupOf, good)
}
