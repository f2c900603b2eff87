package http

import (
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/drill"
	"github.com/eastway/eastway/failover/http/bounds"
	"github.com/eastway/eastway/failover/http/tried"
)

// route is the way of one request: which endpoints are left to try, and connections to them.
type route struct {
	*Handler
	front *front
	entry *access.Entry
	h2    bool

	policy *balance.Requests
	quota  quota
	drill  *drill.Call
	// call is what is known of the caller.
	call call
	// all is the number of tries.
	all int
	// tried is what the tries before have reached.
	tried tried.Set
	// unheard are the last tries, as far as no endpoint has executed them.
	unheard bounds.Streak
	// fresh: a kept connection has failed, so that others of its age may be dead, too.
	fresh bool
	// waits: a peer did not take an earlier try, so that the next one is sent when its answer is there.
	waits bool
}

// candidates are those for the next try: what was tried before comes last, peers that may be tried again before it.
func (r *route) candidates() (untried, again, rest []balance.Candidate) {
	return r.tried.Sort(r.cfg.Table.Candidates(r.front.from.Key, r.caller()), r.call.tried)
}

func (r *route) caller() balance.Caller {
	from := &r.front.from
	return balance.Caller{
		Cluster: from.cluster(r.cfg.Cluster), Address: r.call.address, Locality: r.call.locality, ClusterSet: from.ClusterSet,
		Remote: from.peer != "", Hostname: from.hostname, HTTP: true, Affinity: r.call.affinity, Keep: r.drill.Filter(),
	}
}

// others is true when there is a candidate with room that was not tried, or, after an answer, a peer that may be tried again.
func (r *route) others(o outcome) bool {
	if o != unavailable && !r.isLate(o) {
		return false // nothing depends on it
	}
	untried, again, _ := r.candidates()
	return balance.HaveRoom(untried) || o == unavailable && balance.HaveRoom(again)
}

func (r *route) isLate(o outcome) bool { return o == notExecuted && r.unheard.Took() >= maxSafeTime }
