// Package metrics counts what tunnels do.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/eastway/eastway/internal/status"
)

// Node is where states are collected when they are read.
type Node interface {
	// Status describes every peer.
	Status() []status.Peer
	// Load is the smallest round trip to a usable replica of the peer, 0 if there is none, and the memory for what the peer has sent
	// and nothing has read, in bytes.
	Load(peer string) (rtt time.Duration, unread int64)
}

// Metrics of one node.
type Metrics struct {
	node       Node
	cluster    string
	Handshakes *prometheus.CounterVec
	streams    *prometheus.CounterVec
	states     *prometheus.CounterVec
	badHeaders *prometheus.CounterVec
	Paths      *prometheus.CounterVec
	limits     *prometheus.CounterVec
	addresses  *prometheus.CounterVec
	lanes      *prometheus.Desc
	links      *prometheus.Desc
	rtt        *prometheus.Desc
	active     *prometheus.Desc
	memory     *prometheus.Desc
}

// New registers those of a node of a cluster; nil: they are not registered.
func New(reg prometheus.Registerer, cluster string, n Node) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		node: n, cluster: cluster,
		Handshakes: counter("eastway_tunnel_handshakes_refused_total", "Connections that failed authentication, on either side.", "reason"),
		streams:    counter("eastway_tunnel_streams_total", "Streams opened.", "peer", "direction"),
		states: counter("eastway_tunnel_link_state_changes_total",
			"Replicas of a peer that became suspect (silent), dead or connected again.", "peer", "state"),
		badHeaders: counter("eastway_tunnel_bad_streams_total", "Streams of a peer that were dropped because their header was not valid.", "peer"),
		Paths: counter("eastway_tunnel_path_migrations_total",
			"Dialed QUIC connections that went silent and looked for another network path.", "peer", "result"),
		limits: counter("eastway_tunnel_limits_met_total", "Streams or connections that met a limit.", "peer", "limit"),
		addresses: counter("eastway_tunnel_new_addresses_total",
			"Replicas of a peer that connected from an address that the peer had not used since this process started.", "peer"),
		lanes: prometheus.NewDesc("eastway_tunnel_connections", "Open connections of tunnels.",
			[]string{"peer", "transport", "role", "congestion_control"}, nil),
		links: prometheus.NewDesc("eastway_tunnel_links", "Replicas of a peer with a tunnel.", []string{"peer", "state"}, nil),
		rtt: prometheus.NewDesc("eastway_tunnel_rtt_seconds", "Smallest smoothed round trip to a usable replica of the peer.",
			[]string{"peer"}, nil),
		active: prometheus.NewDesc("eastway_tunnel_streams", "Open streams.", []string{"peer"}, nil),
		memory: prometheus.NewDesc("eastway_tunnel_unread_bytes", "Memory for what a peer has sent and nothing here has read.",
			[]string{"peer"}, nil),
	}
	if reg != nil {
		reg.MustRegister(m.Handshakes, m.streams, m.states, m.badHeaders, m.Paths, m.limits, m.addresses, m)
	}
	return m
}

// Refused counts a handshake that failed.
func (m *Metrics) Refused(reason string) { m.Handshakes.WithLabelValues(reason).Inc() }

// Opened counts a stream.
func (m *Metrics) Opened(peer, direction string) { m.streams.WithLabelValues(peer, direction).Inc() }

// State counts a change of a link's state.
func (m *Metrics) State(peer, state string) { m.states.WithLabelValues(peer, state).Inc() }

// BadHeader counts a stream whose header was not valid.
func (m *Metrics) BadHeader(peer string) { m.badHeaders.WithLabelValues(peer).Inc() }

// NewAddress counts a replica that connected from a new address.
func (m *Metrics) NewAddress(peer string) { m.addresses.WithLabelValues(peer).Inc() }

// Searched counts what became of the search for another network path.
func (m *Metrics) Searched(peer, result string) { m.Paths.WithLabelValues(peer, result).Inc() }

// Limited counts what met a limit.
func (m *Metrics) Limited(peer, limit string, times uint64) {
	m.limits.WithLabelValues(peer, limit).Add(float64(times))
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.lanes
	ch <- m.links
	ch <- m.rtt
	ch <- m.active
	ch <- m.memory
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, p := range m.node.Status() {
		if p.Peer == m.cluster {
			continue // another process of the own cluster is no peer
		}
		lanes := map[[3]string]int{}
		links := map[string]int{status.Connected: 0, status.Suspect: 0, status.Draining: 0, status.Connecting: 0}
		streams := 0
		for _, l := range p.Links {
			links[l.State]++
			for _, c := range l.Lanes {
				lanes[[3]string{c.Transport, c.Role, c.CongestionControl}]++
				streams += c.Streams
			}
		}
		for k, v := range lanes {
			gauge(m.lanes, float64(v), p.Peer, k[0], k[1], k[2])
		}
		for state, v := range links {
			gauge(m.links, float64(v), p.Peer, state)
		}
		gauge(m.active, float64(streams), p.Peer)
		rtt, unread := m.node.Load(p.Peer)
		gauge(m.memory, float64(unread), p.Peer)
		if rtt > 0 {
			gauge(m.rtt, rtt.Seconds(), p.Peer)
		}
	}
}
