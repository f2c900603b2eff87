package sim

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestGaugesLeft(t *testing.T) {
	t.Parallel()
	r := &proxyRun{registry: prometheus.NewRegistry()}
	active := prometheus.NewGauge(prometheus.GaugeOpts{Name: "eastway_connections_active", Help: "."})
	other := prometheus.NewGauge(prometheus.GaugeOpts{Name: "eastway_other", Help: "."})
	r.registry.MustRegister(active, other)
	other.Set(1)
	if s := r.gaugeProblem(idleGauges()); s != "" {
		t.Errorf("nothing is left: %s", s)
	}
	active.Set(2)
	if s := r.gaugeProblem(idleGauges()); s != "eastway_connections_active[] is 2" {
		t.Errorf("two connections are left: %q", s)
	}
}
