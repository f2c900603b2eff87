package admission

import (
	"net"
	"net/netip"
)

const (
	// hostBits are the upper bits of an IPv6 address, which are assigned (RFC 6177): a host chooses the rest freely.
	hostBits = 64
	// siteBits are those of the largest network that one site usually gets.
	siteBits = 48
)

// Source is what handshakes are counted by: an IPv4 address, or the upper 64 bits of an IPv6 address.
func Source(addr net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := at.Addr().Unmap().WithZone(""), 32
	if ip.Is6() {
		bits = hostBits
	}
	return netip.PrefixFrom(ip, bits).Masked()
}

// site is the wider network that a source counts for as well; that of an IPv4 address is the address.
func site(source netip.Prefix) netip.Prefix {
	if !source.Addr().Is6() {
		return source
	}
	return netip.PrefixFrom(source.Addr(), siteBits).Masked()
}
