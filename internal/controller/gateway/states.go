package gateway

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

// state of a Gateway, a label of the metric.
type state string

const (
	none      state = "" // not one of Eastway's
	addressed state = "addressed"
	waiting   state = "waiting"
	refused   state = "refused"
	failed    state = "failed"
)

// states counts Gateways by their state.
type states struct {
	gauge *prometheus.GaugeVec
	of    map[types.NamespacedName]state
}

func newStates() *states {
	s := &states{of: make(map[types.NamespacedName]state), gauge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "eastway_controller_gateways",
		Help: "Gateways of Eastway's classes. state: addressed, waiting (their Service has no address yet), refused (what they ask for " +
			"is not supported: see their conditions), failed (their Service could not be made: see their events and the log).",
	}, []string{"state"})}
	for _, state := range []state{addressed, waiting, refused, failed} {
		s.gauge.WithLabelValues(string(state))
	}
	return s
}

func (s *states) set(key types.NamespacedName, is state) {
	was := s.of[key]
	if was == is {
		return
	}
	if was != none {
		s.gauge.WithLabelValues(string(was)).Dec()
	}
	if is == none {
		delete(s.of, key)
		return
	}
	s.of[key] = is
	s.gauge.WithLabelValues(string(is)).Inc()
}
