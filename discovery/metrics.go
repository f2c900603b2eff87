package discovery

import (
	"github.com/prometheus/client_golang/prometheus"
)

// catalogCollector reads the catalog when it is scraped: series of peers that are gone vanish by themselves.
type catalogCollector struct {
	catalog                                   *Catalog
	services, revision, peerServices, notUsed *prometheus.Desc
	overQuota, outside, peerRevision          *prometheus.Desc
	linked, bytes                             *prometheus.Desc
}

func newCatalogCollector(c *Catalog) *catalogCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("eastway_discovery_"+name, help, labels, nil)
	}
	return &catalogCollector{
		catalog:      c,
		services:     desc("services", "Services in the catalog.", "origin"),
		revision:     desc("revision", "Changes of the catalog since the process started."),
		peerServices: desc("peer_services", "Services that the peer exports.", "peer"),
		notUsed: desc("peer_services_not_used",
			"Services that the peer exports and that its Peer, or the owner here, does not let be used.", "peer"),
		overQuota: desc("peer_services_over_quota", "Services that the peer exports beyond its quota; they are not imported.", "peer"),
		outside: desc("peer_services_outside_localities",
			"Services of which the peer claims endpoints outside of spec.localities; these count as far.", "peer"),
		peerRevision: desc("peer_revision", "Revision of the peer's exports that is in the catalog.", "peer"),
		linked:       desc("peer_replicas", "Linked replicas of the peer; 0: the last known exports are kept.", "peer"),
		bytes:        desc("peer_bytes", "Memory for what all replicas of the peer export, estimated.", "peer"),
	}
}

func (c *catalogCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.services
	ch <- c.revision
	ch <- c.peerServices
	ch <- c.notUsed
	ch <- c.overQuota
	ch <- c.outside
	ch <- c.peerRevision
	ch <- c.linked
	ch <- c.bytes
}

// Collect counts without the catalog's lock, as calls and updates do not wait for a scrape: how much there is to count is up to peers.
func (c *catalogCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	snap, here, peers := c.read()
	var local, peer, both float64
	for name, s := range snap.Services.All() {
		switch {
		case here.Services.Get(name) == nil:
			peer++
		case len(s.Peers) > 0:
			both++
		default:
			local++
		}
	}
	gauge(c.services, local, "local")
	gauge(c.services, peer, "peer")
	gauge(c.services, both, "both")
	gauge(c.revision, float64(snap.Revision))
	outside := snap.outside()
	for _, p := range peers {
		gauge(c.peerServices, float64(p.current.exports.Len()), p.name)
		gauge(c.notUsed, float64(p.current.denied(snap.Peers[p.name], &here)), p.name)
		over := 0
		if x := snap.Excess[p.name]; x != nil {
			over = x.LeftOut()
		}
		gauge(c.overQuota, float64(over), p.name)
		gauge(c.outside, float64(outside[p.name].services), p.name)
		gauge(c.peerRevision, float64(p.current.revision), p.name)
		gauge(c.linked, p.linked, p.name)
		gauge(c.bytes, p.bytes, p.name)
	}
}

// collected is what a scrape needs of a peer.
type collected struct {
	name    string
	current advert // a copy; empty before the first one
	linked  float64
	bytes   float64
}

// read returns the latest snapshot, what was found here, and the peers.
func (c *catalogCollector) read() (*Snapshot, Local, []collected) {
	c.catalog.mu.Lock()
	defer c.catalog.mu.Unlock()
	peers := make([]collected, 0, len(c.catalog.local.Peers))
	for name := range c.catalog.local.Peers {
		p := collected{name: name}
		if adverts := c.catalog.peers[name]; adverts != nil && adverts.current != nil {
			p.current, p.bytes = *adverts.current, float64(adverts.holdings.bytes)
			for _, w := range adverts.replicas {
				if w.linked {
					p.linked++
				}
			}
		}
		peers = append(peers, p)
	}
	return c.catalog.Snapshot(), c.catalog.local, peers
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
		messages: counter("messages_total", "Catalog messages exchanged with the peer.", "peer", "direction"),
		bytes:    counter("bytes_total", "Bytes of catalog messages exchanged with the peer.", "peer", "direction"),
		resyncs:  counter("resyncs_total", "Snapshots requested because an update did not follow the last one.", "peer"),
		invalid:  counter("invalid_total", "Exchanges ended because a message of the peer was not valid.", "peer"),
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
