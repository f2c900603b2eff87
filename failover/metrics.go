package failover

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/originate"
	"github.com/eastway/eastway/internal/shortage"
)

// metrics of this package:
//
//	eastway_connections_total{service,direction,result}        result: access.OK and the constants below it
//	eastway_connections_active{direction}
//	eastway_connection_bytes_total{service,direction,way}      way: "up" towards the endpoint, "down" from it
//	eastway_connection_attempts_total{target,result}           target: "local" or "peer"
//	eastway_connection_accept_seconds{direction}               until an endpoint accepted
//	eastway_failover_ejections_total{service,kind}             kind: balance.Failure
//	eastway_connections_limits_met_total{service,limit}        limit: registry.Limit, or capacity
//	eastway_connections_not_http_total{service}                on a port that is HTTP, carried as TCP
//	eastway_http_requests_total{service,code}                  code: "2xx" and so on; "none": there was no answer
//	eastway_http_refused_requests_total{service,reason}        not well-formed; reason: h1.Reason
//	eastway_http_request_seconds                               until the answer's end
//	eastway_http_retries_over_budget_total{service}            requests that were not sent once more
//	eastway_http_limits_met_total{service,limit}               limit: requests, pending, retries, rate_limit, capacity, peer
//	eastway_http_retries_total{service,reason}                 reason: not_executed, unknown, or the status (policy retryOn)
//	eastway_failover_denied_streams_total{peer,rule,dry_run}   rule: discovery.Verdict
//	eastway_failover_ejected_endpoints{service}
//	eastway_failover_forbidden_endpoints_total{reason}         reason: discovery.Refusal
//	eastway_failover_shortages_total{resource}                 resource: shortage.Resource
//	eastway_failover_tls_failures_total{service,reason}        reason: originate.Reason
//	eastway_failover_listener_errors                           listeners that could not be opened
//	eastway_failover_vacant_listeners                          listeners that are closed because nothing could serve them
type metrics struct {
	connections *prometheus.CounterVec
	active      *prometheus.GaugeVec
	bytes       *prometheus.CounterVec
	attempts    *prometheus.CounterVec
	accept      *prometheus.HistogramVec
	full        *prometheus.CounterVec
	notHTTP     *prometheus.CounterVec
	requests    *prometheus.CounterVec
	answered    *prometheus.HistogramVec
	retries     *prometheus.CounterVec
	refused     *prometheus.CounterVec
	overBudget  *prometheus.CounterVec
	limits      *prometheus.CounterVec
	denied      *prometheus.CounterVec
	forbidden   *prometheus.CounterVec
	tls         *prometheus.CounterVec
	short       *prometheus.CounterVec
	ejections   *prometheus.CounterVec
	ejectedNow  *prometheus.GaugeVec
	drilled     *prometheus.CounterVec
	listeners   prometheus.Gauge
	vacant      prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		connections: counters("eastway_connections_total", "Connections that ended.", "service", "direction", "result"),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "eastway_connections_active", Help: "Connections in flight.",
		}, []string{"direction"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_connection_bytes_total", Help: "Bytes carried, counted when a connection ends.",
		}, []string{"service", "direction", "way"}),
		attempts: counters("eastway_connection_attempts_total", "Attempts to reach an endpoint.", "target", "result"),
		accept: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "eastway_connection_accept_seconds", Help: "Time until an endpoint accepted a connection, all attempts included.",
			// From a local connect to the connect budget.
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15},
		}, []string{"direction"}),
		full: counters("eastway_connections_limits_met_total",
			"Connections of applications, and streams of peers, that were refused because too many are open.", "service", "limit"),
		notHTTP: counters("eastway_connections_not_http_total",
			"Connections to HTTP ports that are not HTTP and are carried as TCP.", "service"),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_http_requests_total", Help: "HTTP requests that ended.",
		}, []string{"service", "direction", "code"}),
		answered: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "eastway_http_request_seconds", Help: "Time until an HTTP answer's end, all tries included.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"direction"}),
		retries: counters("eastway_http_retries_total", "HTTP requests that were sent once more.", "service", "reason"),
		overBudget: counters("eastway_http_retries_over_budget_total",
			"HTTP requests that were not sent once more because too many are.", "service"),
		limits: counters("eastway_http_limits_met_total",
			"HTTP requests and retries beyond the policy's connectionPool, rateLimit or capacity, or what one peer, one service for it, "+
				"or one of its callers may have.", "service", "limit"),
		denied: counters("eastway_failover_denied_streams_total", "Streams of peers that a rule denies.", "peer", "rule", "dry_run"),
		tls: counters("eastway_failover_tls_failures_total",
			"Connections, and health checks, that failed because there was no TLS with the endpoint of an ExternalService.", "service", "reason"),
		forbidden: counters("eastway_failover_forbidden_endpoints_total",
			"Connections not made, or refused, because of where an endpoint is.", "reason"),
		drilled: counters("eastway_failover_drill_calls_total", "Calls that were part of an operator's drill and have ended.", "outcome"),
		short:   shortage.Counter(r),
		refused: counters("eastway_http_refused_requests_total", "HTTP requests that were refused because they are not well-formed.",
			"service", "reason"),
		ejections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_failover_ejections_total", Help: "Endpoints taken out of rotation.",
		}, []string{"service", "kind"}),
		ejectedNow: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "eastway_failover_ejected_endpoints", Help: "Endpoints out of rotation.",
		}, []string{"service"}),
		listeners: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eastway_failover_listener_errors", Help: "Service ports that cannot be listened on.",
		}),
		vacant: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eastway_failover_vacant_listeners", Help: "Service ports that are not listened on because nothing can serve them.",
		}),
	}
	m.preset()
	if err := m.register(r); err != nil {
		return nil, err
	}
	return m, nil
}

// preset makes series whose labels are known, so that they begin at 0.
func (m *metrics) preset() {
	for _, outcome := range []string{outcomeOK, outcomeFailed} {
		m.drilled.WithLabelValues(outcome)
	}
	for _, reason := range discovery.Refusals() {
		m.forbidden.WithLabelValues(string(reason))
	}
}

// register does nothing without a Registerer.
func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{
		m.connections, m.active, m.bytes, m.attempts, m.accept, m.full, m.notHTTP, m.requests, m.answered, m.retries, m.refused,
		m.overBudget, m.limits, m.denied, m.forbidden, m.tls, m.drilled, m.ejections, m.ejectedNow, m.listeners, m.vacant,
	} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("failover: register metrics: %w", err)
		}
	}
	return nil
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// Ejected implements balance.Metrics.
func (m *metrics) Ejected(s discovery.ServiceName, kind balance.Failure, again bool) {
	m.ejections.WithLabelValues(s.String(), kind.String()).Inc()
	if !again {
		m.ejectedNow.WithLabelValues(s.String()).Inc()
	}
}

// Returned implements balance.Metrics.
func (m *metrics) Returned(s discovery.ServiceName) { m.ejectedNow.WithLabelValues(s.String()).Dec() }

// attempted counts an attempt at a candidate.
func (m *metrics) attempted(a balance.Address, result string) {
	kind := "local"
	if a.Peer != "" {
		kind = "peer"
	}
	m.attempts.WithLabelValues(kind, result).Inc()
}

// begun counts a connection as active until the func that it returns is called.
func (m *metrics) begun(direction string) (ended func()) {
	g := m.active.WithLabelValues(direction)
	g.Inc()
	return g.Dec
}

// Outcomes of calls in a drill.
const (
	outcomeOK     = "ok"
	outcomeFailed = "failed"
)

// drill counts a call that was part of one.
func (m *metrics) drill(failed bool) {
	outcome := outcomeOK
	if failed {
		outcome = outcomeFailed
	}
	m.drilled.WithLabelValues(outcome).Inc()
}

// ended counts a connection.
func (m *metrics) ended(e *access.Entry) {
	m.connections.WithLabelValues(e.Service, e.Direction, e.Result).Inc()
	m.bytes.WithLabelValues(e.Service, e.Direction, "up").Add(float64(e.Up))
	m.bytes.WithLabelValues(e.Service, e.Direction, "down").Add(float64(e.Down))
	if e.Accepted > 0 {
		m.accept.WithLabelValues(e.Direction).Observe(e.Accepted.Seconds())
	}
}

// requestEnded counts a request.
func (m *metrics) requestEnded(e *access.Entry) {
	code := "none"
	if s := e.HTTP.Status; s > 0 {
		code = strconv.Itoa(s/100) + "xx"
	}
	m.requests.WithLabelValues(e.Service, e.Direction, code).Inc()
	m.answered.WithLabelValues(e.Direction).Observe(time.Since(e.Started).Seconds())
}

// notSecured counts a handshake that failed.
func (m *metrics) notSecured(s discovery.ServiceName, reason originate.Reason) {
	m.tls.WithLabelValues(s.String(), string(reason)).Inc()
}

// retried counts one more try of a request.
func (m *metrics) retried(s discovery.ServiceName, reason string) {
	m.retries.WithLabelValues(s.String(), reason).Inc()
}

// Forgotten implements balance.Metrics: the series of the service end.
func (m *metrics) Forgotten(name discovery.ServiceName) {
	label := prometheus.Labels{"service": name.String()}
	m.connections.DeletePartialMatch(label)
	m.bytes.DeletePartialMatch(label)
	m.full.DeletePartialMatch(label)
	m.notHTTP.DeletePartialMatch(label)
	m.requests.DeletePartialMatch(label)
	m.retries.DeletePartialMatch(label)
	m.refused.DeletePartialMatch(label)
	m.overBudget.DeletePartialMatch(label)
	m.limits.DeletePartialMatch(label)
	m.tls.DeletePartialMatch(label)
	m.ejections.DeletePartialMatch(label)
	m.ejectedNow.DeletePartialMatch(label)
}
