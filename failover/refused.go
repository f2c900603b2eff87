package failover

import (
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/health"
	requests "github.com/eastway/eastway/failover/http"
	"github.com/eastway/eastway/failover/http/h1"
	"github.com/eastway/eastway/failover/registry"
	"github.com/eastway/eastway/failover/tcp"
	"github.com/eastway/eastway/internal/shortage"
	"github.com/eastway/eastway/internal/tally"
)

// refusal is a kind of what HTTP ports refuse, or do not do.
type refusal string

const (
	refusedMalformed       refusal = "malformed"
	refusedOverBudget      refusal = "over_budget"
	refusedLimit           refusal = "limit"
	refusedPeer            refusal = "peer"
	refusedRate            refusal = "rate"
	refusedConnection      refusal = "connection"
	refusedCapacity        refusal = "capacity"
	refusedNotHTTP         refusal = "not_http"
	refusedDenied          refusal = "denied"
	refusedDryRun          refusal = "dry_run"
	refusedEndpoint        refusal = "endpoint"
	refusedLoop            refusal = "loop"
	refusedListener        refusal = "listener"
	refusedProxy           refusal = "proxy"
	refusedShare           refusal = "share"
	refusedAtPeer          refusal = "at_peer"
	refusedStreams         refusal = "streams_of_peer"
	refusedStreamsShare    refusal = "streams_of_peer_share"
	refusedCallerShare     refusal = "caller_share"
	refusedAllStreams      refusal = "streams"
	refusedAllStreamsShare refusal = "streams_share"
)

// text is what happens, for the log and for status, and what to do about it.
func (r refusal) text() (what, remedy string) {
	switch r {
	case refusedMalformed:
		return "HTTP requests refused: they are not well-formed",
			"mend the client, or set the port's protocol to tcp by the annotation eastway.dev/protocol"
	case refusedOverBudget:
		return "HTTP requests not repeated: the retry budget is used up", "'eastway endpoints' shows which endpoints fail"
	case refusedLimit:
		return "HTTP requests refused, or not repeated: as many are under way, or wait for a connection, as the TrafficPolicy allows",
			"raise the limit under connectionPool, or add endpoints"
	case refusedRate:
		return "requests or connections refused: the TrafficPolicy's rateLimit allows no more of them",
			"the access log shows whose they are (result rate_limited); raise the quota if endpoints can take more"
	case refusedDenied:
		return "streams of a peer denied: a rule of this cluster does not allow them", "'eastway authz explain' shows which rule"
	case refusedDryRun:
		return "streams of a peer would be denied: a rule has a dry run", "'eastway authz explain' shows which rule"
	case refusedEndpoint:
		return "endpoints refused: no endpoint may have their address", "the log names them and says why; correct their EndpointSlices"
	case refusedLoop:
		return "connections of this cluster's own proxies refused: an endpoint of another service leads back to this one",
			"the access log of the calling proxy has the endpoint; correct its EndpointSlice"
	case refusedNotHTTP:
		return "connections to an HTTP port are not HTTP: they are carried as TCP",
			"mend the client, or set the port's protocol to tcp by the annotation eastway.dev/protocol"
	}
	return r.limitText()
}

// refusals remembers what was refused lately, for each service. It logs each kind at most once a minute.
type refusals struct {
	metrics *metrics
	log     *zap.Logger
	met     tally.Book[refusalKey]
}

type refusalKey struct {
	service discovery.ServiceName
	kind    refusal
	peer    string // whose limit it is; empty: this proxy's
}

func newRefusals(m *metrics, log *zap.Logger) *refusals {
	return &refusals{metrics: m, log: log}
}

// note counts one, and logs it if that is due.
func (r *refusals) note(k refusalKey, about ...zap.Field) {
	due := r.met.Note(time.Now(), k, 1)
	if due == 0 {
		return
	}
	what, remedy := k.kind.text()
	if k.service != (discovery.ServiceName{}) {
		about = append(about, zap.Stringer("service", k.service))
	}
	about = append(about, zap.Uint64("times", due), zap.String("remedy", remedy))
	r.log.Warn(what, about...)
}

// text is for the operator.
func (k refusalKey) text() (what, remedy string) {
	what, remedy = k.kind.text()
	if k.peer != "" {
		what = "peer " + k.peer + ": " + what
	}
	if k.service == (discovery.ServiceName{}) {
		return what, remedy
	}
	return "service " + k.service.String() + ": " + what, remedy
}

// Problems is what HTTP ports have refused lately, which endpoints fail their health checks, and what in policies fits nothing, each with
// what to do.
func (p *Proxy) Problems() []string {
	s := p.table.Snapshot()
	return slices.Concat(p.refused.met.Problems(time.Now(), refusalKey.text), health.Problems(s), p.table.Problems(),
		p.origins.Problems(), p.drills.Problems(), unknownPlaces(s, p.cfg.Locality))
}

// request counts a request that is not well-formed.
func (r *refusals) request(s discovery.ServiceName, v *h1.Violation) {
	r.metrics.refused.WithLabelValues(s.String(), string(v.Reason)).Inc()
	r.note(refusalKey{service: s, kind: refusedMalformed}, zap.Error(v))
}

// limit counts a request, or a retry, beyond the policy's connectionPool or rateLimit, or beyond what one peer may have.
func (r *refusals) limit(s discovery.ServiceName, limit string) {
	r.metrics.limits.WithLabelValues(s.String(), limit).Inc()
	kind := refusedLimit
	switch limit {
	case string(registry.LimitPeer), string(registry.LimitPeerShare):
		kind = refusedPeer
	case string(registry.LimitCallerShare):
		kind = refusedCallerShare
	case requests.LimitRate:
		kind = refusedRate
	case requests.LimitCapacity:
		kind = refusedCapacity
	}
	r.note(refusalKey{service: s, kind: kind}, zap.String("limit", limit))
}

// connection remembers a connection beyond the policy's rateLimit, connectionPool or capacity; it counts as one that ended.
func (r *refusals) connection(s discovery.ServiceName, limit tcp.Limit) {
	kind := refusedRate
	switch limit {
	case tcp.LimitConnections:
		kind = refusedConnection
	case tcp.LimitCapacity:
		kind = refusedCapacity
		r.metrics.full.WithLabelValues(s.String(), requests.LimitCapacity).Inc()
	case tcp.LimitRate:
	}
	r.note(refusalKey{service: s, kind: kind})
}

// full counts a connection of an application beyond a limit of this proxy's.
func (r *refusals) full(s discovery.ServiceName, from netip.Prefix, met *registry.LimitError) {
	r.beyond(refusalKey{service: s, kind: limitKind(met.Limit)}, s.String(), met, zap.Stringer("source", from))
}

// fullOfStreams counts a stream of a peer beyond a limit of this proxy's. The peer has chosen the service: only one that there is counts as
// such.
func (r *refusals) fullOfStreams(peer, service string, from netip.Prefix, met *registry.LimitError) {
	r.beyond(refusalKey{peer: peer, kind: limitKind(met.Limit)}, service, met,
		zap.String("peer", peer), zap.String("service", service), zap.Stringer("caller", from))
}

func (r *refusals) beyond(k refusalKey, service string, met *registry.LimitError, about ...zap.Field) {
	r.metrics.full.WithLabelValues(service, string(met.Limit)).Inc()
	r.note(k, append(about, zap.String("limit", string(met.Limit)),
		zap.Int("held", met.Held), zap.Int("used", met.Used), zap.Int("most", met.Most))...)
}

func limitKind(l registry.Limit) refusal {
	switch l {
	case registry.LimitListener:
		return refusedListener
	case registry.LimitProxy:
		return refusedProxy
	case registry.LimitPeer:
		return refusedStreams
	case registry.LimitPeerShare:
		return refusedStreamsShare
	case registry.LimitCallerShare:
		return refusedCallerShare
	case registry.LimitStreams:
		return refusedAllStreams
	case registry.LimitStreamsShare:
		return refusedAllStreamsShare
	case registry.LimitListenerShare, registry.LimitProxyShare:
	}
	return refusedShare
}

// short counts a connection that was not made, or not accepted, because this host is short of something.
func (r *refusals) short(of shortage.Resource, about ...zap.Field) {
	r.metrics.short.WithLabelValues(string(of)).Inc()
	r.note(refusalKey{kind: refusal(of)}, about...)
}

// atPeer remembers a call that failed because of a limit of a peer's; it counts as one that ended.
func (r *refusals) atPeer(service string, met *dial.LimitError) {
	r.note(refusalKey{kind: refusedAtPeer, peer: met.Peer},
		zap.String("peer", met.Peer), zap.String("service", service), zap.String("reason", access.Clip(met.Reason)))
}

// retry counts a retry above the budget.
func (r *refusals) retry(s discovery.ServiceName) {
	r.metrics.overBudget.WithLabelValues(s.String()).Inc()
	r.note(refusalKey{service: s, kind: refusedOverBudget})
}

// notHTTP counts a connection to an HTTP port that is none.
func (r *refusals) notHTTP(s discovery.ServiceName, caller string) {
	r.metrics.notHTTP.WithLabelValues(s.String()).Inc()
	r.note(refusalKey{service: s, kind: refusedNotHTTP}, zap.String("caller", caller))
}
