package health

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/eastway/eastway/discovery"
)

// metrics of this package:
//
//	eastway_health_checks_total{service,kind,result}   kind: http, tcp, grpc; result: passed, failed, inconclusive
//	eastway_health_failing_endpoints{service}
type metrics struct {
	checks  *prometheus.CounterVec
	failing *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_health_checks_total", Help: "Active health checks of endpoints of the own cluster.",
		}, []string{"service", "kind", "result"}),
		failing: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "eastway_health_failing_endpoints", Help: "Endpoints of the own cluster that fail their active health check.",
		}, []string{"service"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.checks, m.failing} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("failover: register metrics: %w", err)
		}
	}
	return m, nil
}

// count counts a check that ended.
func (m *metrics) count(service discovery.ServiceName, r result, now time.Time) {
	outcome := "passed"
	switch {
	case r.isMoot(now):
		outcome = "inconclusive"
	case r.reason != "":
		outcome = "failed"
	}
	m.checks.WithLabelValues(service.String(), string(r.plan.kind), outcome).Inc()
}

// forget ends the series of a service.
func (m *metrics) forget(name discovery.ServiceName) {
	label := prometheus.Labels{"service": name.String()}
	m.checks.DeletePartialMatch(label)
	m.failing.DeletePartialMatch(label)
}
