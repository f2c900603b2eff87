package server

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Values of the label action.
const (
	actionTruncated = "truncated"
	actionDropped   = "dropped"
)

type metrics struct {
	responses *prometheus.CounterVec
	limited   *prometheus.CounterVec
	closed    prometheus.Counter
	failures  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, conns func() int) *metrics {
	with := promauto.With(reg)
	m := &metrics{
		responses: with.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_dns_responses_total", Help: "Responses to queries, by transport and response code.",
		}, []string{"transport", "rcode"}),
		limited: with.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_dns_limited_total",
			Help: "Responses above the limit of a client's network: truncated to have it come back over TCP, or dropped.",
		}, []string{"action"}),
		closed: with.NewCounter(prometheus.CounterOpts{
			Name: "eastway_dns_connections_evicted_total", Help: "TCP connections that made room for newer ones.",
		}),
		failures: with.NewCounter(prometheus.CounterOpts{
			Name: "eastway_dns_failures_total", Help: "Queries answered with SERVFAIL for an error in this server, which the log has.",
		}),
	}
	with.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "eastway_dns_connections", Help: "TCP connections of clients.",
	}, func() float64 { return float64(conns()) })
	m.limited.WithLabelValues(actionTruncated)
	m.limited.WithLabelValues(actionDropped)
	return m
}
