package failover

import (
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/eastway/eastway/discovery"
)

// Directions of a connection, seen from this proxy.
const (
	// outbound: an application of this cluster opened it here.
	outbound = "outbound"
	// inbound: a peer opened it.
	inbound = "inbound"
)

// unknownService is the label for what a peer asked for and we do not have: names that others choose are no labels.
const unknownService = "unknown"

// metrics of this package:
//
//	eastway_connections_total{service,direction,result}        result: see results in connection.go
//	eastway_connections_active{direction}
//	eastway_connection_bytes_total{service,direction,way}      way: "up" towards the endpoint, "down" from it
//	eastway_connection_attempts_total{target,result}           target: "local" or "peer"
//	eastway_connection_accept_seconds{direction}               until an endpoint accepted
//	eastway_failover_ejections_total{service,kind}             kind: local, peer, probe
//	eastway_failover_ejected_endpoints{service}
//	eastway_failover_listener_errors                           listeners that could not be opened
type metrics struct {
	connections *prometheus.CounterVec
	active      *prometheus.GaugeVec
	bytes       *prometheus.CounterVec
	attempts    *prometheus.CounterVec
	accept      *prometheus.HistogramVec
	ejections   *prometheus.CounterVec
	ejectedNow  *prometheus.GaugeVec
	listeners   prometheus.Gauge

	mu    sync.Mutex
	known map[discovery.ServiceName]bool
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		connections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_connections_total", Help: "Connections that ended, by how.",
		}, []string{"service", "direction", "result"}),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "eastway_connections_active", Help: "Connections in flight.",
		}, []string{"direction"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_connection_bytes_total", Help: "Bytes carried, towards the endpoint (up) and from it (down).",
		}, []string{"service", "direction", "way"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_connection_attempts_total", Help: "Attempts to reach an endpoint, by result.",
		}, []string{"target", "result"}),
		accept: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "eastway_connection_accept_seconds", Help: "Time until an endpoint accepted a connection.",
			// From a local connect to the connect budget.
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15},
		}, []string{"direction"}),
		ejections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_failover_ejections_total", Help: "Endpoints taken out of rotation.",
		}, []string{"service", "kind"}),
		ejectedNow: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "eastway_failover_ejected_endpoints", Help: "Endpoints out of rotation now.",
		}, []string{"service"}),
		listeners: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eastway_failover_listener_errors", Help: "Listeners that cannot be opened now.",
		}),
		known: make(map[discovery.ServiceName]bool),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.connections, m.active, m.bytes, m.attempts, m.accept, m.ejections, m.ejectedNow, m.listeners,
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("failover: register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) ejected(s discovery.ServiceName, kind string, again bool) {
	m.ejections.WithLabelValues(s.String(), kind).Inc()
	if !again {
		m.ejectedNow.WithLabelValues(s.String()).Inc()
	}
}

func (m *metrics) returned(s discovery.ServiceName) { m.ejectedNow.WithLabelValues(s.String()).Dec() }

func (m *metrics) attempt(k targetKey, result string) {
	kind := kindLocal
	if k.peer != "" {
		kind = kindPeer
	}
	m.attempts.WithLabelValues(kind, result).Inc()
}

func (m *metrics) ended(service, direction, result string, up, down int64, toAccept time.Duration) {
	m.connections.WithLabelValues(service, direction, result).Inc()
	m.bytes.WithLabelValues(service, direction, "up").Add(float64(up))
	m.bytes.WithLabelValues(service, direction, "down").Add(float64(down))
	if toAccept > 0 {
		m.accept.WithLabelValues(direction).Observe(toAccept.Seconds())
	}
}

// know allows series of a service that is in the catalog.
func (m *metrics) know(name discovery.ServiceName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[name] = true
}

// forget drops the series of a service that is no longer in the catalog.
func (m *metrics) forget(name discovery.ServiceName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, name)
	label := prometheus.Labels{"service": name.String()}
	m.connections.DeletePartialMatch(label)
	m.bytes.DeletePartialMatch(label)
	m.ejections.DeletePartialMatch(label)
	m.ejectedNow.DeletePartialMatch(label)
}
