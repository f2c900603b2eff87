package failover

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/eastway/eastway/e2e/wan/netns"
	"github.com/eastway/eastway/internal/descriptors"
	"github.com/eastway/eastway/internal/need"
	"github.com/eastway/eastway/internal/shortage"
)

// TestAcceptedEndsWithAReset: a connection that was accepted and not looked at, as when this process is killed, is reset when
// the kernel closes it. A clean end would read as an empty answer.
func TestAcceptedEndsWithAReset(t *testing.T) {
	t.Parallel()
	ln, err := newHost(descriptors.Gate{}).Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = accepted.Close()
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %d, %v", n, err)
	}
}

// TestNoAddressIsNoPort: a host without an address to call an endpoint from, and one without a free port, get the same error from
// connect(2). The first has no route, the second is short of ports.
func TestNoAddressIsNoPort(t *testing.T) {
	t.Parallel()
	need.Root(t)
	ns, err := netns.Create("no-address")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	h := newHost(descriptors.Gate{})
	if err := ns.Do(func() error {
		ln, err := h.Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			return err
		}
		defer ln.Close()
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("50000 50001"), 0); err != nil {
			return err
		}
		at := netip.MustParseAddrPort(ln.Addr().String())
		for range 2 {
			c, err := h.Dial(t.Context(), at)
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = c.Close() })
		}
		if _, err := h.Dial(t.Context(), at); shortage.Of(err) != shortage.Ports || shortage.NoRoute(err) {
			t.Errorf("no port: %v", err)
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		for _, tt := range []struct{ what, at string }{
			{"no IPv6 route", "[fd00::7]:80"}, {"no IPv4 route", "10.9.9.9:80"}, {"no IPv6 address", "[::1]:80"},
		} {
			if tt.what == "no IPv6 address" {
				if err := netlink.LinkSetDown(lo); err != nil {
					return err
				}
			}
			if _, err := h.Dial(t.Context(), netip.MustParseAddrPort(tt.at)); shortage.Of(err) != "" || !shortage.NoRoute(err) {
				t.Errorf("%s: %v", tt.what, err)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
