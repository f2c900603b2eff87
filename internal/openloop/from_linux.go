package openloop

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// From makes a dialer of fresh connections from an address; nil: any. It leaves the choice of the local port to connect: a port that bind
// has chosen is taken for as long as a connection of it lingers, a minute after its end, and no other connection that binds gets it, from
// whatever address and to whatever address.
func From(address net.Addr) *net.Dialer {
	d := &net.Dialer{LocalAddr: address}
	if address != nil {
		d.Control = fromAnyPort
	}
	return d
}

func fromAnyPort(_, _ string, c syscall.RawConn) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}); cerr != nil {
		return cerr
	}
	return err
}
