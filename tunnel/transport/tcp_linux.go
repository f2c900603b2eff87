package transport

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setLaneOptions prepares a TCP socket before it connects or listens (accepted sockets inherit them).
// BBR is requested because it fills a lossy line; where the kernel does not allow it the default stays and status says so.
func setLaneOptions(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "bbr")
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout/time.Millisecond))
	})
}

// setOptions adds the size of segments. It is advertised, so it holds in both directions, and what a listener accepts has it too.
func setOptions(network, address string, c syscall.RawConn) error {
	if err := setLaneOptions(network, address, c); err != nil {
		return err
	}
	var failed error
	err := c.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, tcpSegment) })
	return errors.Join(err, failed)
}

// congestionControl names the algorithm that the socket uses.
func congestionControl(c *net.TCPConn) string {
	name := ""
	withFD(c, func(fd int) {
		name, _ = unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	})
	return name
}

type tcpInfo struct {
	rtt, lastAck                 time.Duration
	sent, retransmitted, unacked uint64
}

func readTCPInfo(c *net.TCPConn) (tcpInfo, bool) {
	var out tcpInfo
	ok := false
	withFD(c, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		ok = true
		out = tcpInfo{
			rtt:           time.Duration(info.Rtt) * time.Microsecond,
			lastAck:       time.Duration(info.Last_ack_recv) * time.Millisecond,
			sent:          uint64(info.Segs_out),
			retransmitted: uint64(info.Total_retrans),
			unacked:       uint64(info.Unacked),
		}
	})
	return out, ok
}

// withFD does nothing without a socket.
func withFD(c *net.TCPConn, f func(fd int)) {
	if c == nil {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { f(int(fd)) })
}
