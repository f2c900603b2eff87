package tunnel

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/tunnel/transport"
)

// metrics of one node. What is a state is collected from the node when asked for.
type metrics struct {
	node       *Node
	handshakes *prometheus.CounterVec
	streams    *prometheus.CounterVec
	states     *prometheus.CounterVec
	badHeaders *prometheus.CounterVec
	paths      *prometheus.CounterVec
	limits     *prometheus.CounterVec
	lanes      *prometheus.Desc
	links      *prometheus.Desc
	rtt        *prometheus.Desc
	active     *prometheus.Desc
	memory     *prometheus.Desc
}

func newMetrics(reg prometheus.Registerer, n *Node) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		node:       n,
		handshakes: counter("eastway_tunnel_handshakes_refused_total", "Connections that failed authentication, on either side.", "reason"),
		streams:    counter("eastway_tunnel_streams_total", "Streams opened.", "peer", "direction"),
		states: counter("eastway_tunnel_link_state_changes_total",
			"Replicas of a peer that became suspect (silent), dead or connected again.", "peer", "state"),
		badHeaders: counter("eastway_tunnel_bad_streams_total", "Streams of a peer that were dropped because their header was not valid.", "peer"),
		paths: counter("eastway_tunnel_path_migrations_total",
			"Dialed QUIC connections that went silent and looked for another network path.", "peer", "result"),
		limits: counter("eastway_tunnel_limits_met_total", "Streams or connections that met a limit.", "peer", "limit"),
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
		reg.MustRegister(m.handshakes, m.streams, m.states, m.badHeaders, m.paths, m.limits, m)
	}
	return m
}

func (m *metrics) refused(reason string)         { m.handshakes.WithLabelValues(reason).Inc() }
func (m *metrics) opened(peer, direction string) { m.streams.WithLabelValues(peer, direction).Inc() }

func (m *metrics) linkState(peer string, s linkState) {
	m.states.WithLabelValues(peer, s.String()).Inc()
}

func (m *metrics) limited(peer string, limit transport.Limit, times uint64) {
	m.limits.WithLabelValues(peer, string(limit)).Add(float64(times))
}

func (m *metrics) badHeader(peer string) { m.badHeaders.WithLabelValues(peer).Inc() }

func (m *metrics) pathSearched(peer string, result transport.MoveResult) {
	m.paths.WithLabelValues(peer, string(result)).Inc()
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.lanes
	ch <- m.links
	ch <- m.rtt
	ch <- m.active
	ch <- m.memory
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, p := range m.node.Status() {
		if p.Peer == m.node.cfg.Cluster {
			continue // another process of the own cluster is no peer
		}
		lanes := map[[3]string]int{}
		links := map[string]int{status.Connected: 0, status.Suspect: 0, status.Draining: 0}
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
		gauge(m.memory, float64(m.node.budgetOf(p.Peer).Used()), p.Peer)
		if st := m.node.State(p.Peer); st.RTT > 0 {
			gauge(m.rtt, st.RTT.Seconds(), p.Peer)
		}
	}
}
