package takeover

import (
	"context"
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
