package demo

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// refuseNew makes the kernel drop every further SYN to the listener. Closing a
// listener resets what waits in its queue, so first the queue must stop growing.
// A dropped SYN is sent again by its client, and refused once the listener is closed.
func refuseNew(conn syscall.RawConn) error {
	const (
		flagsOffset = 13 // of the TCP header's flags
		synFlag     = 0x02
		keep        = 0xffffffff
	)
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flagsOffset},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: synFlag, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: keep},
	}
	var sockErr error
	err := conn.Control(func(fd uintptr) {
		prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		sockErr = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog)
	})
	if err == nil {
		err = sockErr
	}
	if err != nil {
		return fmt.Errorf("attach a filter to the listener: %w", err)
	}
	return nil
}

// queued is how many connections wait to be accepted: of a listening socket
// Linux reports that as tcpi_unacked.
func queued(conn syscall.RawConn) (int, error) {
	var (
		info    *unix.TCPInfo
		sockErr error
	)
	err := conn.Control(func(fd uintptr) {
		info, sockErr = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if err == nil {
		err = sockErr
	}
	if err != nil {
		return 0, fmt.Errorf("ask for the listener's queue: %w", err)
	}
	return int(info.Unacked), nil
}
