package openloop

import (
	"net"
	"os"
	"testing"

	"github.com/eastway/eastway/e2e/wan/netns"
	"github.com/eastway/eastway/internal/need"
)

// TestFromAnyPort: connections from one address to two places may have the same local port.
func TestFromAnyPort(t *testing.T) {
	t.Parallel()
	need.Root(t)
	ns, err := netns.Create("any-port")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	if err := ns.Do(func() error {
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("50000 50001"), 0); err != nil {
			return err
		}
		for port := range 2 {
			ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40_000 + port})
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = ln.Close() })
			for range 2 {
				c, err := From(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}).DialContext(t.Context(), "tcp", ln.Addr().String())
				if err != nil {
					return err
				}
				t.Cleanup(func() { _ = c.Close() })
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
