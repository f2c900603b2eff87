package tunnel

import (
	"net"
	"net/netip"
	"testing"
)

func TestHandshakesAreCountedByWhoCanChooseAddresses(t *testing.T) {
	t.Parallel()
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
