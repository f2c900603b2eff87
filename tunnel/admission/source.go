package admission

import (
	"net"
	"net/netip"
)

// Source is what handshakes are counted by: an IPv4 address, or the upper 64 bits of an IPv6 address, which are assigned
// (RFC 6177): a host chooses the rest freely.
func Source(addr net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := at.Addr().Unmap().WithZone(""), 32
	if ip.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(ip, bits).Masked()
}
