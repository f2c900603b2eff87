// Package source is what connections are counted by, so that one that opens many is known as one.
package source

import (
	"net"
	"net/netip"
)

// hostBits are the upper bits of an IPv6 address, which are assigned (RFC 6177): a host chooses the rest freely.
const hostBits = 64

// Of is an IPv4 address, or the upper 64 bits of an IPv6 address; the zero Prefix if addr is neither, with a port.
func Of(addr net.Addr) netip.Prefix {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		return of(tcp.AddrPort().Addr())
	}
	return OfText(addr.String())
}

// OfText is Of for an address as text, IP:PORT.
func OfText(addr string) netip.Prefix {
	at, _ := netip.ParseAddrPort(addr)
	return of(at.Addr())
}

func of(addr netip.Addr) netip.Prefix {
	ip, bits := addr.Unmap().WithZone(""), 32
	if ip.Is6() {
		bits = hostBits
	}
	return netip.PrefixFrom(ip, bits).Masked()
}
