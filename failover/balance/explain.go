package balance

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/status"
)

// Query is a call that Explain is about.
type Query struct {
	Key    Key
	Caller Caller
	// AnyKey: the call has a key by which it stays with one endpoint, but which is left open.
	AnyKey bool
}

// Explain predicts where calls like this go first, as long as nothing changes. False: the catalog has no such service port.
func (tb *Table) Explain(q Query) (status.Explanation, bool) {
	o := tb.options(q.Key, &q.Caller)
	if o == nil {
		return status.Explanation{}, false
	}
	e := explaining{options: o, key: keyNone}
	switch {
	case q.AnyKey, o.by.affinity == 0 && o.policy.isSticky(&q.Caller):
		e.key, e.shares = keyAny, o.by.anyKey(o.candidates)
	case o.by.affinity != 0:
		e.key = keyKnown
		fallthrough
	default:
		e.shares = o.by.shares(o.candidates)
	}
	e.leader = e.nearest()
	out := status.Explanation{
		Port: q.Key.Port, Protocol: "TCP", Region: q.Caller.Locality.Region, Zone: q.Caller.Locality.Zone, LoadBalancer: e.method(),
		Candidates: e.choices(tb.appendEndpoints(nil, o.svc, o.group, &o.policy, &o.view)),
	}
	if q.Caller.HTTP {
		out.Protocol = "HTTP"
	}
	return out, true
}

// explaining is what choices are explained by.
type explaining struct {
	*options
	key    keyState
	shares []float64
	// leader is the candidate with a share that comes first in the usual order, nil if none has one.
	leader *Candidate
}

// keyState is what is known of the key by which calls stay with one endpoint.
type keyState int

const (
	keyNone keyState = iota // calls have none
	keyAny
	keyKnown
)

// nearest finds the leader.
func (e *explaining) nearest() *Candidate {
	var best *Candidate
	for i := range e.candidates {
		if c := &e.candidates[i]; e.shares[i] > 0 && (best == nil || e.compare(c, best) < 0) {
			best = c
		}
	}
	return best
}

// compare puts candidates in their order when nothing ramps up and each locality with a weight has its turn.
func (e *explaining) compare(a, b *Candidate) int {
	switch {
	case a.class(false) != b.class(false):
		return cmp.Compare(a.class(false), b.class(false))
	case e.isUnweighted(a) != e.isUnweighted(b):
		if e.isUnweighted(a) {
			return 1
		}
		return -1
	default:
		return a.place.rank.compare(b.place.rank)
	}
}

// isUnweighted is true for a candidate behind those that have weights.
func (e *explaining) isUnweighted(c *Candidate) bool {
	return len(e.view.weights) > 0 && len(c.place.parts) == 0
}

// method is how one of several equals is chosen.
func (e *explaining) method() string {
	if e.key != keyNone {
		return e.keyName()
	}
	name := [...]string{leastRequest: "LEAST_REQUEST", roundRobin: "ROUND_ROBIN", atRandom: "RANDOM"}[e.policy.method]
	if e.policy.requests.HashKey != (HashKey{}) {
		name += ", without the key of " + e.keyName()
	}
	return name
}

// keyName is what calls stay together by.
func (e *explaining) keyName() string {
	switch k := e.policy.requests.HashKey; {
	case k.Header != "":
		return "consistentHash by header " + k.Header
	case k.Cookie != "":
		return "consistentHash by cookie " + k.Cookie
	case k.Query != "":
		return "consistentHash by query parameter " + k.Query
	default:
		return "the caller's address"
	}
}

// choices gives the endpoints of the port their shares and rules, in the order in which they are tried.
func (e *explaining) choices(rows []status.Endpoint) []status.Choice {
	at := make(map[string]int, len(e.candidates))
	for i := range e.candidates {
		at[e.candidates[i].String()] = i
	}
	out := make([]status.Choice, 0, len(rows))
	for i := range rows {
		row := status.Choice{Endpoint: rows[i]}
		if c, ok := at[rows[i].Address]; ok {
			row.Weight, row.Share = e.weight(&e.candidates[c]), 100*e.shares[c]
			row.Rule = e.rule(&row.Endpoint, &e.candidates[c], e.shares[c])
		} else {
			row.Rule = absent(&row.Endpoint, e.svc.Name)
		}
		out = append(out, row)
	}
	slices.SortFunc(out, func(a, b status.Choice) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.Level, b.Level), strings.Compare(a.Address, b.Address))
	})
	return out
}

// weight, in percent, is that of a candidate's localities.
func (e *explaining) weight(c *Candidate) float64 {
	var all, its float64
	for i, w := range e.view.weights {
		all += w.share
		if slices.ContainsFunc(c.place.parts, func(p part) bool { return p.weight == i }) {
			its += w.share
		}
	}
	if all == 0 {
		return 0
	}
	return 100 * its / all
}

// absent is why an endpoint is no candidate.
func absent(row *status.Endpoint, service discovery.ServiceName) string {
	switch row.Status {
	case status.NotReady:
		return "not ready"
	case status.Unreachable:
		return "unreachable: no tunnel to the peer"
	case status.OutOfScope:
		return "outside the policy's scope"
	case status.NoConsent:
		return "consent: this cluster's Service is not shared with the peer; " + discovery.ConsentRemedy(row.Cluster, service)
	case status.FailedActiveHC:
		return "fails its health check; not for this caller"
	default:
		return "not for this caller"
	}
}

// rule is what decides about a candidate.
func (e *explaining) rule(row *status.Endpoint, c *Candidate, share float64) string {
	state := e.state(row, c)
	if share == 0 {
		if state != "" && e.leader != nil && c.class(false) > e.leader.class(false) {
			return state
		}
		return with(e.passedOver(c), state)
	}
	rule := e.where(c)
	switch {
	case c.class(false) >= classTerminating:
		rule = "last resort: nothing else is left"
	case e.compare(e.leader, c) < 0:
		rule = "failover: " + rule + " while " + e.where(e.leader) + " ramps up"
	case e.isUnweighted(c), len(c.place.parts) == 0 && c.place.rank != (rank{}):
		rule = "failover: " + rule + ", nothing nearer serves"
		if slices.ContainsFunc(e.candidates, func(o Candidate) bool { return o.full && o.place.rank.compare(c.place.rank) < 0 }) {
			rule += " or has room"
		}
	}
	if e.key == keyKnown {
		rule += "; " + e.keyName() + ": hashed to this one"
	}
	return with(rule, state)
}

func with(rule, state string) string {
	if state == "" {
		return rule
	}
	return rule + "; " + state
}

// passedOver is why a candidate without a share has none, though it serves.
func (e *explaining) passedOver(c *Candidate) string {
	switch {
	case e.compare(e.leader, c) < 0:
		return "failover: " + e.where(c) + " after " + e.where(e.leader)
	case e.key == keyKnown:
		return e.where(c) + "; " + e.keyName() + ": hashed to another one"
	case c.share == 0:
		return e.where(c)
	default:
		return e.where(c) + "; more load than all others there"
	}
}

// state is what is particular about a candidate, empty if nothing is.
func (e *explaining) state(row *status.Endpoint, c *Candidate) string {
	isEjected := slices.Contains([]string{status.CheckFailed, status.CheckProbing}, row.OutlierCheck)
	switch {
	case c.ejected && row.OutlierCheck == status.CheckProbing:
		return "ejected: " + row.EjectionKind + ", being probed"
	case c.ejected:
		return fmt.Sprintf("ejected: %s, %s left", row.EjectionKind, row.EjectedFor.Round(time.Second))
	case row.Status == status.FailedActiveHC && c.last:
		return "fails its health check: " + row.HealthCheck
	case row.Status == status.FailedActiveHC:
		return fmt.Sprintf("fails its health check, but fewer than minHealthPercent %d pass: all are used", e.policy.minHealthPercent)
	case c.last:
		return "held back by its Retry-After"
	case isEjected:
		return fmt.Sprintf("ejected, but fewer than minHealthPercent %d are left: all are used", e.policy.minHealthPercent)
	case c.full:
		return c.fullness()
	case c.terminating:
		return "terminating: after all that are ready"
	case c.share < 1 && e.key == keyNone:
		return fmt.Sprintf("ramping up: %.0f %% of its full share", 100*c.share)
	default:
		return ""
	}
}

// fullness is what becomes of more calls than there is room for.
func (c *Candidate) fullness() string {
	if c.over {
		return fmt.Sprintf("full: %.0f in flight, more are refused", c.level.InFlight)
	}
	return fmt.Sprintf("full: %.0f in flight, more go elsewhere first", c.level.InFlight)
}

// where is what places a candidate for the caller.
func (e *explaining) where(c *Candidate) string {
	switch l := e.view.localities; {
	case len(c.place.parts) > 0:
		return fmt.Sprintf("distribute %.3g %%", e.weight(c))
	case l.off:
		return "localityLbSetting is off: all are equal"
	case len(l.priority) > 0:
		return fmt.Sprintf("failoverPriority: %d of %d labels match", len(l.priority)-c.place.rank.level, len(l.priority))
	}
	by, without := "", ""
	if c.Peer != "" {
		by = "peer in "
	}
	if e.isUnweighted(c) {
		without = " (no weight)"
	}
	return by + e.near(c.Locality) + without
}

// near is how a locality lies to the caller.
func (e *explaining) near(at discovery.Locality) string {
	l, from := e.view.localities, e.view.caller
	switch {
	case sameZone(from, at):
		return "own zone"
	case sameRegion(from, at):
		return "own region"
	case at.Region == "":
		return "an unknown region"
	case l.regionRank(from.Region, at.Region) < l.regionRank(from.Region, ""):
		return "region " + at.Region + " (policy's failover)"
	default:
		return "region " + at.Region
	}
}
