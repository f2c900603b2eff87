package server

import (
	"context"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// controlSize is room for the control messages of a datagram, in bytes.
const controlSize = 128

// socket is for datagrams. On a host with several addresses a response leaves from the address that the query came to: resolvers take no
// other.
type socket struct {
	conn *net.UDPConn
	// wildcard: it listens on all addresses, so the address that a query came to is not known otherwise.
	wildcard bool
}

func listenUDP(ctx context.Context, address string) (*socket, error) {
	var lc net.ListenConfig
	c, err := lc.ListenPacket(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	s := &socket{}
	s.conn, _ = c.(*net.UDPConn)
	local, _ := c.LocalAddr().(*net.UDPAddr)
	if local.IP.IsUnspecified() {
		s.wildcard = true
		// One of them fails where the socket is of the other family.
		err4 := ipv4.NewPacketConn(c).SetControlMessage(ipv4.FlagDst, true)
		err6 := ipv6.NewPacketConn(c).SetControlMessage(ipv6.FlagDst, true)
		s.wildcard = err4 == nil || err6 == nil
	}
	return s, nil
}

// read returns a datagram, and the address that it came to, invalid if that need not be known.
func (s *socket) read(buf, oob []byte) (n int, from netip.AddrPort, to netip.Addr, err error) {
	if !s.wildcard {
		n, from, err = s.conn.ReadFromUDPAddrPort(buf)
		return n, from, to, err
	}
	n, more, _, from, err := s.conn.ReadMsgUDPAddrPort(buf, oob)
	if err != nil {
		return n, from, to, err
	}
	return n, from, destination(oob[:more]), nil
}

// destination reads the control messages that came with a datagram.
func destination(oob []byte) (to netip.Addr) {
	var cm6 ipv6.ControlMessage
	if cm6.Parse(oob) == nil && cm6.Dst != nil {
		to, _ = netip.AddrFromSlice(cm6.Dst)
		return to.Unmap()
	}
	var cm4 ipv4.ControlMessage
	if cm4.Parse(oob) == nil && cm4.Dst != nil {
		to, _ = netip.AddrFromSlice(cm4.Dst)
	}
	return to.Unmap()
}

func (s *socket) write(response []byte, to netip.AddrPort, from netip.Addr) {
	var oob []byte
	switch {
	case from.Is4():
		oob = (&ipv4.ControlMessage{Src: from.AsSlice()}).Marshal()
	case from.Is6():
		oob = (&ipv6.ControlMessage{Src: from.AsSlice()}).Marshal()
	}
	_, _, _ = s.conn.WriteMsgUDPAddrPort(response, oob, to)
}
