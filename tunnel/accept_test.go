package tunnel

import (
	"net"
	"net/netip"
	"testing"
)

func TestHandshakesAreCountedByWhoCanChooseAddresses(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"192.0.2.7:1234":          "192.0.2.7/32",
		"[::ffff:192.0.2.7]:1234": "192.0.2.7/32",
		"[2001:db8:1:2::9]:1234":  "2001:db8:1:2::/64",
		"[fe80::9%eth0]:1234":     "fe80::/64",
	} {
		if got := origin(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))); got.String() != want {
			t.Errorf("%s counts for %v, want %s", addr, got, want)
		}
	}
	g := newHandshakeGate()
	from := func(last byte) net.Addr {
		ip := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: last})
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 1))
	}
	for i := range maxHandshakesPerIP {
		if _, ok := g.enter(from(byte(i))); !ok {
			t.Fatalf("handshake %d was refused", i)
		}
	}
	if _, ok := g.enter(from(255)); ok {
		t.Error("one network took more than its share")
	}
	if _, ok := g.enter(net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:1"))); !ok {
		t.Error("another network was refused")
	}
}
