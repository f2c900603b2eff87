package hostile

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// fromAnyPort leaves the choice of the local port to connect. A port that bind has chosen is taken for as long as a connection of it
// lingers, a minute after its end: no other connection that begins here gets it, from whatever address and to whatever address.
func fromAnyPort(_, _ string, c syscall.RawConn) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}); cerr != nil {
		return cerr
	}
	return err
}
