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
			Help: "Current errors in the manifests, warnings not counted.",
		}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_discovery_reloads_total",
			Help: "Reads of the manifests.",
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
