package external

import "github.com/prometheus/client_golang/prometheus"

// Results of a lookup.
const (
	resultOK     = "ok"
	resultFailed = "failed"
)

type metrics struct{ lookups *prometheus.CounterVec }

func newMetrics(reg prometheus.Registerer, r *Resolver) *metrics {
	m := &metrics{lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "eastway_discovery_external_lookups_total",
		Help: "Lookups of names of external services.",
	}, []string{"result"})}
	m.lookups.WithLabelValues(resultOK)
	m.lookups.WithLabelValues(resultFailed)
	if reg != nil {
		reg.MustRegister(m.lookups, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "eastway_discovery_external_names_failing",
			Help: "Names of external services that the last lookup did not find.",
		}, func() float64 { return float64(r.failing()) }))
	}
	return m
}
