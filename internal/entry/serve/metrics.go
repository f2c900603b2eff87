package serve

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	evicted  prometheus.Counter
	conns    prometheus.GaugeFunc
	mirrors  *prometheus.CounterVec
	expiry   *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer, conns func() int) *metrics {
	with := promauto.With(reg)
	m := &metrics{
		requests: with.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_entry_requests_total",
			Help: "Requests, by route (empty: none matches) and status code (0: the client got no answer).",
		}, []string{"route", "code"}),
		duration: with.NewHistogramVec(prometheus.HistogramOpts{
			Name:                        "eastway_entry_request_duration_seconds",
			Help:                        "Time from a request's header to the end of its answer, by route.",
			NativeHistogramBucketFactor: 1.1, Buckets: prometheus.DefBuckets,
		}, []string{"route"}),
		refused: with.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_entry_refused_total", Help: "Connections and requests that were refused or failed, by reason.",
		}, []string{"reason"}),
		evicted: with.NewCounter(prometheus.CounterOpts{
			Name: "eastway_entry_evicted_connections_total", Help: "Idle connections of clients that made room for new ones.",
		}),
		mirrors: with.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_entry_mirrored_total",
			Help: "Copies of requests for RequestMirror filters, by result: sent, failed, or skipped because of a limit.",
		}, []string{"result"}),
		expiry: with.NewGaugeVec(prometheus.GaugeOpts{
			Name: "eastway_entry_certificate_expiry_timestamp_seconds", Help: "When the certificate of a Secret in use ends.",
		}, []string{"secret"}),
	}
	m.conns = with.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "eastway_entry_connections", Help: "Connections of clients.",
	}, func() float64 { return float64(conns()) })
	for _, why := range allRefusals() {
		m.refused.WithLabelValues(string(why))
	}
	return m
}

// certificates shows those of a table.
func (m *metrics) certificates(t Table) {
	m.expiry.Reset()
	for secret, end := range expiries(t) {
		m.expiry.WithLabelValues(secret).Set(float64(end.Unix()))
	}
}
