package tunnel

import (
	"net"
	"testing"
)

// TestAnyPort: with port 0 a port is found that is free on TCP and UDP, however many are taken on one of them.
func TestAnyPort(t *testing.T) {
	t.Parallel()
	const taken, binds = 2000, 100 // without another try, one in fourteen fails
	const addr = "127.77.1.1:0"    // an address of its own: no other test misses these ports
	var lc net.ListenConfig
	for range taken {
		pc, err := lc.ListenPacket(t.Context(), "udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = pc.Close() })
	}
	_, cfg := configs(t)
	cfg.Listen = addr
	for range binds {
		n, err := New(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		n.closeListeners()
		n.closeTransports()
	}
}
