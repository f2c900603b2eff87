package tunnel

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/quic-go/quic-go"
)

// deafConn sends and never receives, as if its source address were forged.
type deafConn struct {
	net.PacketConn
	sent chan struct{} // closed by the first packet
	once sync.Once
}

func (d *deafConn) ReadFrom([]byte) (int, net.Addr, error) {
	b := make([]byte, 2048)
	for {
		if _, _, err := d.PacketConn.ReadFrom(b); err != nil {
			return 0, nil, err
		}
	}
}

func (d *deafConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	n, err := d.PacketConn.WriteTo(p, addr)
	d.once.Do(func() { close(d.sent) })
	return n, err
}

// forge begins a QUIC handshake with n whose answers are not heard, and goes on until ctx ends.
func forge(ctx context.Context, t *testing.T, ca Config, n *Node, wg *sync.WaitGroup) {
	t.Helper()
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := ca.Credentials.ClientConfig("b")
	if err != nil {
		t.Fatal(err)
	}
	deaf := &deafConn{PacketConn: pc, sent: make(chan struct{})}
	wg.Go(func() {
		tr := &quic.Transport{Conn: deaf}
		for ctx.Err() == nil {
			_, _ = tr.Dial(ctx, n.Addr(), cfg, &quic.Config{HandshakeIdleTimeout: handshakeTimeout})
		}
		_ = tr.Close()
		_ = pc.Close()
	})
	<-deaf.sent
}

// TestForgedAddressLeavesRoom: a forged address of a peer takes no more than a few places.
func TestForgedAddressLeavesRoom(t *testing.T) {
	t.Parallel()
	ca, cb := configs(t, withTransport("quic"), withHandler(echo))
	reg := prometheus.NewPedanticRegistry()
	cb.Metrics = reg
	b := startNode(t, cb)
	b.SetPeers([]Peer{{Name: "a"}})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for range 64 {
		forge(ctx, t, ca, b, &wg)
	}
	a := startNode(t, ca)
	a.SetPeers([]Peer{{Name: "b", Addresses: []string{b.Addr().String()}}})
	await(t, "usable", func() bool { return a.State("b").Usable })
	if n := testutil.ToFloat64(b.metrics.Handshakes.WithLabelValues("overloaded")); n > 0 {
		t.Errorf("%v handshakes were refused because none was free", n)
	}
}
