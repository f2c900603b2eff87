package http

import (
	"slices"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
)

// route is the way of one request: which endpoints are left to try, and connections to them.
type route struct {
	*Handler
	front *front
	entry *access.Entry
	h2    bool

	policy *balance.Requests
	quota  quota
	// call is what is known of the caller.
	call call
	// all is the number of tries.
	all int
	// tried are candidates that come last from now on, triedAt endpoints of peers.
	tried   []balance.Address
	triedAt triedAt
	// fresh: a kept connection has failed, so that others of its age may be dead, too.
	fresh bool
	// waits: a peer did not take an earlier try, so that the next one is sent when its answer is there.
	waits bool
}

// candidates are those for the next try: what was tried before comes last, peers that have another endpoint before it.
func (r *route) candidates() (untried, again, tried []balance.Candidate) {
	from := &r.front.from
	all := r.cfg.Table.Candidates(from.Key, balance.Caller{
		Cluster: from.cluster(r.cfg.Cluster), Address: r.call.address, Locality: r.call.locality, ClusterSet: from.ClusterSet,
		Remote: from.peer != "", Hostname: from.hostname, HTTP: true, Affinity: r.call.affinity,
	})
	if len(r.tried)+len(r.call.tried) == 0 {
		return all, nil, nil
	}
	for i := range all {
		switch {
		case !slices.Contains(r.tried, all[i].Address) && !slices.Contains(r.call.tried, all[i].String()):
			untried = append(untried, all[i])
		case r.triedAt.left(&all[i]):
			again = append(again, all[i])
		default:
			tried = append(tried, all[i])
		}
	}
	return untried, again, tried
}

// others is true when there is a candidate that was not tried, or a peer that has another endpoint.
func (r *route) others() bool {
	untried, again, _ := r.candidates()
	return len(untried)+len(again) > 0
}
