package takeover

import (
	"fmt"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/eastway/eastway/internal/takeover/report"
)

// States of Services in the metric.
const (
	stateTaken    = "taken"     // all its TCP ports go to proxies
	statePartly   = "partly"    // some do
	stateFailOpen = "fail_open" // none does: kube-proxy serves
	stateRefused  = "refused"   // it cannot be taken over
)

// States of proxies in the metric.
const (
	proxyReady    = "ready"
	proxyNotReady = "not_ready" // alive, but starting or draining
	proxySuspect  = "suspect"   // probes time out
	proxySilent   = "silent"    // probes have timed out for suspectLife
	proxyDead     = "dead"
)

type metrics struct {
	services *prometheus.GaugeVec // state
	ports    prometheus.Gauge
	proxies  *prometheus.GaugeVec // state
	probes   *prometheus.CounterVec
	writes   *prometheus.CounterVec
	seconds  prometheus.Histogram
	bypassed prometheus.Gauge
	snapshot prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		services: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "eastway_takeover_services",
			Help: "Services to take over, and those of imports, on this node. " +
				"state: taken, partly, fail_open (kube-proxy serves it), refused; /takeovers shows why.",
		}, []string{"state"}),
		ports: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eastway_takeover_ports",
			Help: "Cluster IPs with their ports whose calls this node sends to proxies.",
		}),
		proxies: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "eastway_takeover_proxies",
			Help: "Addresses of the own cluster's proxies (two each in a dual-stack cluster) as this node sees them. " +
				"state: ready, not_ready (alive: starting or draining), suspect (probes time out), silent (they have for 3 s), dead.",
		}, []string{"state"}),
		probes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_takeover_probes_total",
			Help: "Probes of proxies. result: ok, timeout, error (refused, unreachable), invalid (not an Eastway proxy's answer), " +
				"paused (the agent itself did not run, or had no descriptor or port left).",
		}, []string{"result"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_takeover_writes_total",
			Help: "Transactions that wrote the node's nftables tables. result: ok, failed.",
		}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "eastway_takeover_write_seconds",
			Help:    "Duration of a transaction that wrote the node's nftables tables.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
		bypassed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eastway_takeover_datapath_bypassed",
			Help: "1 while the packet check finds that calls to cluster IPs bypass nftables on this node.",
		}),
		snapshot: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "eastway_takeover_from_snapshot",
			Help: "1 while the agent works from its snapshot because the API server has not answered since it started.",
		}),
	}
	m.zero()
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.services, m.ports, m.proxies, m.probes, m.writes, m.seconds, m.bypassed, m.snapshot} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("takeover: register metrics: %w", err)
		}
	}
	return m, nil
}

// zero makes all series exist from the start.
func (m *metrics) zero() {
	for _, s := range []string{stateTaken, statePartly, stateFailOpen, stateRefused} {
		m.services.WithLabelValues(s)
	}
	for _, s := range []string{proxyReady, proxyNotReady, proxySuspect, proxySilent, proxyDead} {
		m.proxies.WithLabelValues(s)
	}
	for _, r := range []string{resultOK, resultTimeout, resultError, resultInvalid, resultPaused} {
		m.probes.WithLabelValues(r)
	}
	for _, r := range []string{"ok", "failed"} {
		m.writes.WithLabelValues(r)
	}
}

// planned counts the services and ports of a plan.
func (m *metrics) planned(plan *Plan) {
	count := map[string]int{}
	for i := range plan.Services {
		count[stateOf(&plan.Services[i])]++
	}
	for _, s := range []string{stateTaken, statePartly, stateFailOpen, stateRefused} {
		m.services.WithLabelValues(s).Set(float64(count[s]))
	}
	m.ports.Set(float64(len(plan.Rules)))
}

// stateOf is a Service's state in the metric; only TCP ports count.
func stateOf(s *report.ServiceStatus) string {
	if s.Refused != "" {
		return stateRefused
	}
	taken, left := 0, 0
	for i := range s.Ports {
		switch p := &s.Ports[i]; {
		case p.Reason == "":
			taken++
		case p.Address != "":
			left++
		}
	}
	switch {
	case left == 0 && taken > 0:
		return stateTaken
	case taken > 0:
		return statePartly
	default:
		return stateFailOpen
	}
}

// probed counts the proxies.
func (m *metrics) probed(inv *Inventory, health map[netip.Addr]Health) {
	count := map[string]int{}
	for i := range inv.Proxies {
		switch h := health[inv.Proxies[i].Address]; {
		case h.State == Dead:
			count[proxyDead]++
		case h.State == Suspect:
			count[proxySuspect]++
		case h.State == Silent:
			count[proxySilent]++
		case h.Report.Ready:
			count[proxyReady]++
		default:
			count[proxyNotReady]++
		}
	}
	for _, s := range []string{proxyReady, proxyNotReady, proxySuspect, proxySilent, proxyDead} {
		m.proxies.WithLabelValues(s).Set(float64(count[s]))
	}
}
