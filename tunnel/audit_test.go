package tunnel

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/internal/sim/simnet"
	"github.com/eastway/eastway/tunnel/transport"
)

// TestAudit: the log says from which address, and with which certificate, a peer's replica came, and whether the peer used that
// address before; so does a stream of its own.
func TestAudit(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	registry := prometheus.NewRegistry()
	var ca *Config
	served := make(chan string, 1)
	opts := []pairOption{
		func(a, b *Config) { ca, b.Log, b.Metrics = a, zap.New(core), registry },
		withHandler(func(in *Incoming) {
			served <- in.Address()
			echo(in)
		}),
	}
	inBubble(t, "tcp", opts, func(t *testing.T, p *bubbled) {
		mustEcho(t, p.open(t))
		if got, err := netip.ParseAddrPort(<-served); err != nil || got.Addr() != p.hosts[0].Addr() {
			t.Errorf("a stream is from %v, %v; want %v", got, err, p.hosts[0].Addr())
		}
		tunnels := simnet.Tunnels{Process: p.tcp.Host(netip.MustParseAddr("10.0.0.9")).Start()}
		ca.Replica = "a2"
		ca.Transports = []transport.Transport{transport.NewTCP(transport.TCPConfig{Dial: tunnels.Dial, Listen: tunnels.Listen})}
		second := startNode(t, *ca)
		second.SetPeers([]Peer{{Name: "b", Addresses: []string{p.b.Addr().String()}}})
		await(t, "second replica", func() bool { return second.State("b").Usable && liveLinks(p.b, "a") == 2 })

		lines := logs.FilterMessage("peer replica connected").All()
		if len(lines) != 2 {
			t.Fatalf("%d lines, want 2", len(lines))
		}
		for i, want := range []struct {
			replica, address string
			isNew            bool
		}{{"a1", "10.0.0.1", false}, {"a2", "10.0.0.9", true}} {
			line := lines[i].ContextMap()
			leaf := p.b.linkTo("a", want.replica).controlConn().sess.TLS().PeerCertificates[0]
			at, err := netip.ParseAddrPort(fmt.Sprint(line["address"]))
			if err != nil || at.Addr().String() != want.address || line["new_address"] != want.isNew {
				t.Errorf("line %d: %v, want %+v", i, line, want)
			}
			if line["serial"] != fmt.Sprintf("%X", leaf.SerialNumber.Bytes()) || line["not_after"] != leaf.NotAfter {
				t.Errorf("line %d: %v, want serial %X that ends %v", i, line, leaf.SerialNumber, leaf.NotAfter)
			}
		}
		if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP eastway_tunnel_new_addresses_total Replicas of a peer that connected from an address that the peer had not used since this process started.
# TYPE eastway_tunnel_new_addresses_total counter
eastway_tunnel_new_addresses_total{peer="a"} 1
`), "eastway_tunnel_new_addresses_total"); err != nil {
			t.Error(err)
		}
	})
}
