package kube

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Results of what was tried.
const (
	resultOK     = "ok"
	resultFailed = "failed"
)

func resultOf(err error) string {
	if err != nil {
		return resultFailed
	}
	return resultOK
}

type metrics struct {
	problems prometheus.Gauge
	updates  prometheus.Counter
	synced   *prometheus.GaugeVec
	objects  *prometheus.GaugeVec
	lists    *prometheus.CounterVec
	writes   *prometheus.CounterVec
}

// newMetrics registers on reg unless that is nil; restored returns when the oldest snapshot that is still in use was saved, away since when
// the API server has not been reachable.
func newMetrics(reg prometheus.Registerer, resources []*resource, restored, away func() time.Time) *metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Name: "eastway_discovery_kube_" + name, Help: help}
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts(opts(name, help)), []string{"resource"})
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), labels)
	}
	m := &metrics{
		problems: prometheus.NewGauge(prometheus.GaugeOpts(opts("errors",
			"Current errors in objects of the API server, and in requests to it; warnings not counted."))),
		updates: prometheus.NewCounter(prometheus.CounterOpts(opts("updates_total", "Updates of the catalog."))),
		synced:  gauge("synced", "1 when the objects in use come from the API server, 0 when from the snapshot or from none."),
		objects: gauge("objects", "Objects in the cache."),
		lists:   counter("lists_total", "Lists requested from the API server, by result: ok, failed.", "resource", "result"),
		writes:  counter("snapshot_writes_total", "Writes of the snapshot, one per resource that changed, by result: ok, failed.", "result"),
	}
	for _, result := range []string{resultOK, resultFailed} {
		m.writes.WithLabelValues(result)
		for _, r := range resources {
			m.lists.WithLabelValues(r.name, result)
			m.synced.WithLabelValues(r.name)
			m.objects.WithLabelValues(r.name)
		}
	}
	if reg == nil {
		return m
	}
	since := func(name, help string, when func() time.Time) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts(name, help)), func() float64 {
			if at := when(); !at.IsZero() {
				return time.Since(at).Seconds()
			}
			return 0
		})
	}
	reg.MustRegister(m.problems, m.updates, m.synced, m.objects, m.lists, m.writes,
		since("snapshot_age_seconds", "Age of the snapshot that is in use while the API server does not answer; 0: none.", restored),
		since("away_seconds", "For how long the API server has not been reachable; what is known stays in use. 0: it is.", away))
	return m
}
