package proxyproto

import (
	"encoding/binary"
	"hash/crc32"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

const (
	// TypeCluster is the type of the TLV with the name of the caller's cluster, of those that the protocol leaves to applications.
	TypeCluster = proxyproto.PP2_TYPE_MIN_CUSTOM
	// crcBytes is the length of a CRC32C.
	crcBytes = 4
	// longestCluster bounds the name of a cluster, in bytes: it is a DNS label, and what is longer is none.
	longestCluster = 63
)

// Caller is who has made a connection.
type Caller struct {
	// Address is its IP:PORT as its cluster has it; what is no such text is an address that is not known.
	Address string
	// Cluster is the name of its cluster.
	Cluster string
	// Remote: another cluster's proxy asserts the address.
	Remote bool
}

// Header is what endpoint gets before the first byte of the caller, as if the caller had connected to it. Where the address is not known
// the command is LOCAL: then the endpoint takes the proxy's.
func Header(c Caller, endpoint netip.AddrPort) []byte {
	h := proxyproto.Header{Version: 2, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}
	if from, ok := c.source(endpoint.Addr()); ok {
		h.Command, h.TransportProtocol = proxyproto.PROXY, proxyproto.TCPv6
		if from.Addr().Is4() && endpoint.Addr().Unmap().Is4() {
			h.TransportProtocol = proxyproto.TCPv4
		}
		h.SourceAddr, h.DestinationAddr = net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(endpoint)
	}
	var tlvs []proxyproto.TLV
	if n := len(c.Cluster); n > 0 && n <= longestCluster {
		tlvs = append(tlvs, proxyproto.TLV{Type: TypeCluster, Value: []byte(c.Cluster)})
	}
	return format(&h, tlvs)
}

// Local is the header of a connection that the proxy makes for itself: a probe, or a health check.
func Local() []byte {
	return format(&proxyproto.Header{Version: 2, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}, nil)
}

// source is the caller's address, if it means something to an endpoint there. A loopback address means the host that it was seen on, which
// may trust it: only an endpoint on the same host learns it, and none from a peer.
func (c *Caller) source(endpoint netip.Addr) (netip.AddrPort, bool) {
	from, err := netip.ParseAddrPort(c.Address)
	if err != nil {
		return netip.AddrPort{}, false
	}
	a := from.Addr().WithZone("").Unmap() // with a zone, "::" would not be the unspecified address
	switch {
	case !a.IsGlobalUnicast() && !a.IsLoopback(): // unspecified, multicast, broadcast, link-local
		return netip.AddrPort{}, false
	case a.IsLoopback() && (c.Remote || !endpoint.Unmap().IsLoopback()):
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a, from.Port()), true
}

// format ends the header with its checksum, which is of all of it with zeros in its own place.
func format(h *proxyproto.Header, tlvs []proxyproto.TLV) []byte {
	err := h.SetTLVs(append(tlvs, proxyproto.TLV{Type: proxyproto.PP2_TYPE_CRC32C, Value: make([]byte, crcBytes)}))
	if err != nil {
		panic(err) // not reached: they are short
	}
	b, err := h.Format()
	if err != nil {
		panic(err) // not reached: both addresses are IP addresses
	}
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	binary.BigEndian.PutUint32(b[len(b)-crcBytes:], sum)
	return b
}
