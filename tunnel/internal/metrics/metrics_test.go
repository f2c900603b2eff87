package metrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/tunnel/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node has one peer, and a link with another process of its own cluster.
type node struct{}

func (node) Status() []status.Peer {
	lane := status.Lane{Transport: "tcp", Role: "lane", CongestionControl: "bbr", Streams: 1}
	lanes := []status.Lane{lane, lane}
	return []status.Peer{
		{Peer: "west", Links: []status.Link{{State: status.Connected, Lanes: lanes}}},
		{Peer: "east", Links: []status.Link{{State: status.Connected, Lanes: lanes}}},
	}
}

func (node) Load(string) (rtt time.Duration, unread int64) { return 20 * time.Millisecond, 4096 }

func TestStates(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg, "east", node{})
	m.Limited("west", "memory", 3)
	const want = `
# HELP eastway_tunnel_connections Open connections of tunnels.
# TYPE eastway_tunnel_connections gauge
eastway_tunnel_connections{congestion_control="bbr",peer="west",role="lane",transport="tcp"} 2
# HELP eastway_tunnel_limits_met_total Streams or connections that met a limit.
# TYPE eastway_tunnel_limits_met_total counter
eastway_tunnel_limits_met_total{limit="memory",peer="west"} 3
# HELP eastway_tunnel_links Replicas of a peer with a tunnel.
# TYPE eastway_tunnel_links gauge
eastway_tunnel_links{peer="west",state="connected"} 1
eastway_tunnel_links{peer="west",state="connecting"} 0
eastway_tunnel_links{peer="west",state="draining"} 0
eastway_tunnel_links{peer="west",state="suspect"} 0
# HELP eastway_tunnel_rtt_seconds Smallest smoothed round trip to a usable replica of the peer.
# TYPE eastway_tunnel_rtt_seconds gauge
eastway_tunnel_rtt_seconds{peer="west"} 0.02
# HELP eastway_tunnel_streams Open streams.
# TYPE eastway_tunnel_streams gauge
eastway_tunnel_streams{peer="west"} 2
# HELP eastway_tunnel_unread_bytes Memory for what a peer has sent and nothing here has read.
# TYPE eastway_tunnel_unread_bytes gauge
eastway_tunnel_unread_bytes{peer="west"} 4096
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
