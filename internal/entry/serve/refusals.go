package serve

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/entry/route"
)

// refusal is why something was refused: a label of a metric.
type refusal string

// Refusals, besides those of package route.
const (
	full       refusal = "connections"
	sourceFull refusal = "source_connections"
	// sourceRequestsFull is about requests of all connections of a source together.
	sourceRequestsFull refusal = "source_requests"
	requestsFull       refusal = "requests"
	noDescriptor       refusal = "descriptors"
	badTLS             refusal = "tls"
	malformed          refusal = "malformed"
	slowHeader         refusal = "slow_header"
	slowBody           refusal = "slow_body"
	slowReader         refusal = "slow_reader"
	rateLimited        refusal = "rate_limit"
	misdirected                = refusal(route.ReasonMisdirected)
	unavailable        refusal = "backend_unavailable"
	backendFailed      refusal = "backend_failed"
	backendTLS         refusal = "backend_tls"
	timedOut           refusal = "timeout"
)

// allRefusals are those that have a series of the metric from the start.
func allRefusals() []refusal {
	return []refusal{
		full,
		sourceFull,
		requestsFull,
		sourceRequestsFull,
		noDescriptor,
		badTLS,
		malformed,
		slowHeader,
		slowBody,
		slowReader,
		rateLimited,
		misdirected,
		unavailable,
		backendFailed,
		backendTLS,
		timedOut,
		refusal(route.ReasonBadHost),
		refusal(route.ReasonBadPath),
		refusal(route.ReasonTooLong),
		refusal(route.ReasonMethod),
		refusal(route.ReasonNoListener),
		refusal(route.ReasonNoRoute),
		refusal(route.ReasonInvalidBackend),
		refusal(route.ReasonInvalidFilter),
		refusal(route.ReasonInvalidTLS),
		refusal(route.ReasonNoEndpoint),
	}
}

// remedy is what an operator can do about a refusal.
func (r refusal) remedy() string {
	switch r {
	case full:
		return "find out who keeps connections busy, raise --max-connections or add replicas"
	case requestsFull:
		return "look for a service that answers slowly, raise --max-connections (and ulimit -n) or add replicas"
	case sourceFull, sourceRequestsFull:
		return "find out what this source does; name it in --trusted if it is a load balancer in front"
	case noDescriptor:
		return "raise the limit of open files (ulimit -n)"
	case badTLS:
		return "usual on the internet; if clients complain, look at the listener's hostname and certificate, and that they have TLS 1.2; " +
			"where spec.tls.frontend asks for their certificate, look at that"
	case malformed:
		return "usual on the internet; if clients complain, have them send well-formed HTTP/1.1 with a header of 60 KiB at most"
	case slowBody:
		return "usual on the internet; if clients complain, look at their network: 512 bytes per second are enough"
	case slowReader, slowHeader:
		return "usual on the internet; if clients complain, look at their network"
	case rateLimited:
		return "find out who sends so much, or raise rateLimit in the TrafficPolicy"
	case misdirected:
		return "clients reuse a connection for another listener's host: give the listeners certificates that share no names"
	case unavailable:
		return "look at the endpoints of the service, and whether this process can reach its address"
	case backendFailed:
		return "look at the log of the service"
	case timedOut:
		return "look at the service, or raise timeouts in the HTTPRoute"
	default:
		return r.moreRemedy()
	}
}

func (r refusal) moreRemedy() string {
	if r == backendTLS {
		return "compare the backend's certificate with hostname, subjectAltNames and CA certificates of the BackendTLSPolicy"
	}
	return routeRemedy(route.Reason(r))
}

func routeRemedy(r route.Reason) string {
	switch r {
	case route.ReasonBadHost, route.ReasonBadPath, route.ReasonMethod:
		return "usual on the internet; if clients complain, have them send a Host, no CONNECT, and paths without . and .. as elements"
	case route.ReasonTooLong:
		return "usual on the internet; if clients complain, have them send paths, and values that a regular expression is for, of 8 KiB at most"
	case route.ReasonNoListener:
		return "usual on the internet; if clients complain, add a listener for the host"
	case route.ReasonNoRoute:
		return "usual on the internet; if clients complain, add a rule to a route"
	case route.ReasonNoEndpoint:
		return "look at the pods and EndpointSlices of the Service"
	case route.ReasonInvalidTLS:
		return "see the conditions of the BackendTLSPolicy: 'eastway entry status'"
	case route.ReasonInvalidBackend, route.ReasonInvalidFilter:
		return "see the conditions of the route: 'eastway entry status'"
	default:
		return "see the log"
	}
}

// refused is one kind of refusal: of is the port or the rule.
type refused struct {
	why refusal
	of  string
}

// refuse counts a refusal and logs it from time to time.
func (s *Server) refuse(why refusal, of, detail string) {
	s.metrics.refused.WithLabelValues(string(why)).Inc()
	due := s.refusals.Note(time.Now(), refused{why, of}, 1)
	if due == 0 {
		return
	}
	s.log.Warn("entry refuses or fails requests", zap.String("reason", string(why)), zap.String("of", of), zap.Uint64("count", due),
		zap.String("detail", detail), zap.Int("limit", s.limit(why)), zap.String("remedy", why.remedy()))
}

// limit is the number that a refusal is about; 0: none.
func (s *Server) limit(why refusal) int {
	switch why {
	case full, requestsFull:
		return s.slots.most
	case sourceFull, sourceRequestsFull:
		return s.slots.perSource
	default:
		return 0
	}
}

// Problems are what has gone wrong lately, and certificates that end soon, for the operator.
func (s *Server) Problems() []string {
	now := time.Now()
	out := s.refusals.Problems(now, func(r refused) (what, remedy string) {
		return fmt.Sprintf("%s: refused or failed: %s", r.of, r.why), r.why.remedy()
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.ports {
		out = append(out, p.short.Problems(now)...)
	}
	for _, err := range s.failed {
		out = append(out, err.Error())
	}
	return append(out, s.expiring(now)...)
}
