package watch

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	address        *prometheus.GaugeVec
	empty          *prometheus.GaugeVec
	panic          *prometheus.GaugeVec
	changes        *prometheus.CounterVec
	probes         *prometheus.CounterVec
	proxyUp        *prometheus.GaugeVec // without a value where no proxy is queried
	manifestErrors prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	with := promauto.With(reg)
	return &metrics{
		address: with.NewGaugeVec(prometheus.GaugeOpts{
			Name: "eastway_dns_address_in", Help: "1 for an address of an entry that is in, 0 for one that is out.",
		}, []string{"name", "entry", "address"}),
		empty: with.NewGaugeVec(prometheus.GaugeOpts{
			Name: "eastway_dns_empty", Help: "1 while no address of a name is known, so that its queries are answered with SERVFAIL.",
		}, []string{"name"}),
		panic: with.NewGaugeVec(prometheus.GaugeOpts{
			Name: "eastway_dns_panic", Help: "1 while no IPv4 or no IPv6 address of a name is in, so that all that may live are answered.",
		}, []string{"name"}),
		changes: with.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_dns_changes_total", Help: "How often addresses of a name came in or went out.",
		}, []string{"name"}),
		probes: with.NewCounterVec(prometheus.CounterOpts{
			Name: "eastway_dns_probes_total", Help: "Probes of addresses, by result: passed, failed, or unknown where this host could not send them.",
		}, []string{"result"}),
		proxyUp: with.NewGaugeVec(prometheus.GaugeOpts{
			Name: "eastway_dns_proxy_up", Help: "1 while the proxy says what the data plane knows.",
		}, nil),
		manifestErrors: with.NewGauge(prometheus.GaugeOpts{
			Name: "eastway_dns_manifest_errors", Help: "Errors in the manifests of the DNS.",
		}),
	}
}

// show has the metrics follow a name whose addresses are shown now.
func (m *metrics) show(n *nameState, shown map[shownKey]bool) {
	for k := range n.shown {
		if _, ok := shown[k]; !ok {
			m.address.DeleteLabelValues(n.spec.Name, k.cluster, k.addr.String())
		}
	}
	for k, in := range shown {
		m.address.WithLabelValues(n.spec.Name, k.cluster, k.addr.String()).Set(number(in))
	}
	m.panic.WithLabelValues(n.spec.Name).Set(number(n.panic != ""))
	m.empty.WithLabelValues(n.spec.Name).Set(number(n.empty))
	m.changes.WithLabelValues(n.spec.Name)
}

func (m *metrics) forget(n *nameState) {
	name := prometheus.Labels{"name": n.spec.Name}
	m.address.DeletePartialMatch(name)
	m.empty.Delete(name)
	m.panic.Delete(name)
	m.changes.Delete(name)
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
