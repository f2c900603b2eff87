package discovery

import "github.com/prometheus/client_golang/prometheus"

// catalogCollector reads the catalog when it is scraped: series of peers that are gone vanish by themselves.
type catalogCollector struct{ catalog *Catalog }

var (
	descServices = prometheus.NewDesc("eastway_discovery_services",
		"Services in the catalog: known here only (local), from peers only (peer), or both.", []string{"origin"}, nil)
	descRevision = prometheus.NewDesc("eastway_discovery_revision",
		"Changes of the catalog since the process started.", nil, nil)
	descPeerServices = prometheus.NewDesc("eastway_discovery_peer_services",
		"Services that the peer exports.", []string{"peer"}, nil)
	descPeerRevision = prometheus.NewDesc("eastway_discovery_peer_revision",
		"Revision of the peer's exports that is in the catalog.", []string{"peer"}, nil)
	descPeerLinked = prometheus.NewDesc("eastway_discovery_peer_replicas",
		"Replicas of the peer whose exports are followed; 0 means that the last known ones are kept.", []string{"peer"}, nil)
)

func (c *catalogCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- descServices
	ch <- descRevision
	ch <- descPeerServices
	ch <- descPeerRevision
	ch <- descPeerLinked
}

func (c *catalogCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	c.catalog.mu.Lock()
	defer c.catalog.mu.Unlock()
	snap := c.catalog.Snapshot()
	var local, peer, both float64
	for name, s := range snap.Services {
		switch {
		case c.catalog.local.Services[name] == nil:
			peer++
		case len(s.Peers) > 0:
			both++
		default:
			local++
		}
	}
	gauge(descServices, local, "local")
	gauge(descServices, peer, "peer")
	gauge(descServices, both, "both")
	gauge(descRevision, float64(snap.Revision))
	for name := range c.catalog.local.Peers {
		words := c.catalog.peers[name]
		if words == nil || words.believed == nil {
			gauge(descPeerServices, 0, name)
			gauge(descPeerRevision, 0, name)
			gauge(descPeerLinked, 0, name)
			continue
		}
		var linked float64
		for _, w := range words.replicas {
			if w.linked {
				linked++
			}
		}
		gauge(descPeerServices, float64(len(words.believed.exports)), name)
		gauge(descPeerRevision, float64(words.believed.revision), name)
		gauge(descPeerLinked, linked, name)
	}
}

// Directions of messages.
const (
	directionSent     = "sent"
	directionReceived = "received"
)

// exchangeMetrics have one series per peer; peers are bounded by the manifests.
type exchangeMetrics struct {
	messages, bytes  *prometheus.CounterVec
	resyncs, invalid *prometheus.CounterVec
}

func newExchangeMetrics(reg prometheus.Registerer) *exchangeMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "eastway_discovery_exchange_" + name, Help: help}, labels)
	}
	m := &exchangeMetrics{
		messages: counter("messages_total", "Messages exchanged with the peer.", "peer", "direction"),
		bytes:    counter("bytes_total", "Bytes of messages exchanged with the peer.", "peer", "direction"),
		resyncs:  counter("resyncs_total", "Snapshots asked for because an update did not follow the last one.", "peer"),
		invalid:  counter("invalid_total", "Exchanges ended because of what the peer told.", "peer"),
	}
	if reg != nil {
		reg.MustRegister(m.messages, m.bytes, m.resyncs, m.invalid)
	}
	return m
}

func (m *exchangeMetrics) count(peer, direction string, n int) {
	m.messages.WithLabelValues(peer, direction).Inc()
	m.bytes.WithLabelValues(peer, direction).Add(float64(n))
}

func (m *exchangeMetrics) forget(peer string) {
	for _, v := range []*prometheus.CounterVec{m.messages, m.bytes, m.resyncs, m.invalid} {
		v.DeletePartialMatch(prometheus.Labels{"peer": peer})
	}
}
