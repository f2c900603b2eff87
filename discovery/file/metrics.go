package file

import "github.com/prometheus/client_golang/prometheus"

// Results of a reload.
const (
	resultOK     = "ok"
	resultErrors = "errors" // applied, but for what is broken
	resultFailed = "failed" // the directory could not be read
)

type metrics struct {
	errors  prometheus.Gauge
	reloads *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		errors: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eastway_discovery_file_errors",
			Help: "Errors in the manifests as they are now, warnings not counted.",
		}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_discovery_reloads_total",
			Help: "Readings of the manifests by result: ok, errors (applied but for what is broken), failed.",
		}, []string{"result"}),
	}
	for _, r := range []string{resultOK, resultErrors, resultFailed} {
		m.reloads.WithLabelValues(r)
	}
	if reg != nil {
		reg.MustRegister(m.errors, m.reloads)
	}
	return m
}
