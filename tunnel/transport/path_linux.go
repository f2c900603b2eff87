package transport

import (
	"net"

	"golang.org/x/sys/unix"
)

// copyUDPOptions gives to what quic-go has set on from: it prepares a connection's first socket only.
func copyUDPOptions(from, to *net.UDPConn) {
	options := []struct{ level, name int }{
		{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER},
		{unix.IPPROTO_IP, unix.IP_RECVTOS},
		{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER},
		{unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS},
	}
	values := make(map[int]int, len(options)) // by index; one family's are missing
	var receive, send int
	controlUDP(from, func(fd int) {
		for i, o := range options {
			if v, err := unix.GetsockoptInt(fd, o.level, o.name); err == nil {
				values[i] = v
			}
		}
		receive, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		send, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	})
	controlUDP(to, func(fd int) {
		for i, v := range values {
			_ = unix.SetsockoptInt(fd, options[i].level, options[i].name, v)
		}
		setBuffer(fd, unix.SO_RCVBUF, unix.SO_RCVBUFFORCE, receive)
		setBuffer(fd, unix.SO_SNDBUF, unix.SO_SNDBUFFORCE, send)
	})
}

// setBuffer sets a buffer to the size that the kernel reports for another one, which is twice the size to ask for.
func setBuffer(fd, option, forced, reported int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, forced, reported/2) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, reported/2) // without CAP_NET_ADMIN
	}
}

func controlUDP(c *net.UDPConn, f func(fd int)) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { f(int(fd)) })
}
