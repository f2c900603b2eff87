package certs

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
)

const (
	namespace = "eastway"
	subsystem = "certs"
)

// register is a no-op without a registerer.
func register(r prometheus.Registerer, cs ...prometheus.Collector) error {
	if r == nil {
		return nil
	}
	for _, c := range cs {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("certs: register metrics: %w", err)
		}
	}
	return nil
}

// bundleMetrics show when peers can no longer be verified.
type bundleMetrics struct {
	expiry *prometheus.GaugeVec
}

func newBundleMetrics(r prometheus.Registerer) (*bundleMetrics, error) {
	m := &bundleMetrics{expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: namespace, Subsystem: subsystem, Name: "peer_bundle_expiry_timestamp_seconds",
		Help: "Unix time when the last root in the peer's trust bundle expires.",
	}, []string{"peer"})}
	return m, register(r, m.expiry)
}

// set sets the new peers before it deletes those that are gone, so that no scrape finds one missing.
func (m *bundleMetrics) set(before *peerSet, peers []Peer) {
	now := make(map[string]bool, len(peers))
	for _, p := range peers {
		now[p.Name] = true
		m.expiry.WithLabelValues(p.Name).Set(unix(bundleExpiry(p.Bundle)))
	}
	if before == nil {
		return
	}
	for name := range before.byName {
		if !now[name] {
			m.expiry.DeleteLabelValues(name)
		}
	}
}

// bundleExpiry is that of the root that expires last: until then the peer may be verified.
func bundleExpiry(b *x509bundle.Bundle) time.Time {
	var last time.Time
	for _, c := range b.X509Authorities() {
		if c.NotAfter.After(last) {
			last = c.NotAfter
		}
	}
	return last
}

// sourceMetrics describe our own identity.
type sourceMetrics struct {
	svidExpiry prometheus.Gauge
	caExpiry   prometheus.Gauge
	renewals   *prometheus.CounterVec
}

func newSourceMetrics(r prometheus.Registerer) (*sourceMetrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
	}
	m := &sourceMetrics{
		svidExpiry: gauge("svid_expiry_timestamp_seconds",
			"Unix time when this process's certificate, or an intermediate in its files, expires; 0: it has none yet."),
		caExpiry: gauge("ca_expiry_timestamp_seconds",
			"Unix time when the CA that issues this process's certificate expires; 0 when it is not known."),
		renewals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "renewals_total",
			Help: "Renewals of this process's certificate, or reads of its files after a change.",
		}, []string{"result"}),
	}
	m.renewed(true, 0)
	m.renewed(false, 0)
	return m, register(r, m.svidExpiry, m.caExpiry, m.renewals)
}

func (m *sourceMetrics) renewed(ok bool, n float64) {
	result := "failure"
	if ok {
		result = "success"
	}
	m.renewals.WithLabelValues(result).Add(n)
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}
