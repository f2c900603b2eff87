package takeover

import (
	"context"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// setMark marks what the socket sends (SO_MARK, needs NET_ADMIN).
func setMark(_ context.Context, _, _ string, raw syscall.RawConn) error {
	return control(raw, "set SO_MARK (NET_ADMIN is needed)", func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, checkMark)
	})
}

// sharePort lets two processes of one user listen on the same port.
func sharePort(raw syscall.RawConn) error {
	return control(raw, "set SO_REUSEPORT", func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
}

// control calls f with the file descriptor.
func control(raw syscall.RawConn, what string, f func(fd int) error) error {
	var err error
	if e := raw.Control(func(fd uintptr) { err = f(int(fd)) }); e != nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// loadBBR makes the kernel load the module, if there is one, by selecting it with NET_ADMIN.
func loadBBR() {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	_ = unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, "bbr")
	_ = unix.Close(fd)
}
