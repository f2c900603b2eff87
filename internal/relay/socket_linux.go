package relay

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// tcpClose is TCP_CLOSE of include/net/tcp_states.h.
const tcpClose = 7

// lazyRead reads a socket into memory that it takes only once there is
// something to read, so that an idle connection holds no buffer.
type lazyRead struct {
	try func(fd uintptr) bool
	buf *buffer
	n   int
	err error
}

// init makes the closure once; one per read would be garbage on the hot path.
func (l *lazyRead) init() {
	l.try = func(fd uintptr) bool {
		for {
			l.n, l.err = unix.Read(int(fd), l.buf.acquire())
			switch {
			case errors.Is(l.err, unix.EINTR):
				continue
			case errors.Is(l.err, unix.EAGAIN):
				l.buf.release()
				return false
			}
			return true
		}
	}
}

func (t *TCP) readBuffer(b *buffer) (int, error) {
	l := &t.lazy
	l.buf, l.n, l.err = b, 0, nil
	if err := t.raw.Read(l.try); err != nil {
		return 0, t.cause(err)
	}
	switch {
	case l.err != nil:
		return 0, os.NewSyscallError("read", l.err)
	case l.n == 0:
		return 0, t.eof()
	}
	return l.n, nil
}

var _ io.Reader = (*TCP)(nil)

// ResetOnClose makes any close of the socket send a RST, until its lingering is set otherwise. It is meant for the Control of a
// dialer and of a listener, whose connections inherit it. Without it the kernel would end a connection clean if a dial is given
// up at the last moment, or if this process is killed when it has just accepted.
func ResetOnClose(_, _ string, raw syscall.RawConn) error {
	var err error
	control := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
	return errors.Join(control, os.NewSyscallError("setsockopt SO_LINGER", err))
}

// oobInline has urgent data read like all other data; without it the kernel takes it out of the stream.
func oobInline(raw syscall.RawConn) error {
	var err error
	control := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_OOBINLINE, 1)
	})
	return errors.Join(control, os.NewSyscallError("setsockopt SO_OOBINLINE", err))
}

// socketError is the error that a socket has, ErrReset if another call took it.
func socketError(raw syscall.RawConn) error {
	code := 0
	_ = raw.Control(func(fd uintptr) {
		code, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	})
	if code == 0 {
		return ErrReset
	}
	return os.NewSyscallError("read", unix.Errno(code))
}

// socketClosed is true for a socket in state CLOSE.
func socketClosed(raw syscall.RawConn) bool {
	closed := false
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		closed = err == nil && info.State == tcpClose
	})
	return closed
}

// pending looks at what comes next without taking it, and does not wait.
func pending(raw syscall.RawConn) bool {
	is := true
	err := raw.Control(func(fd uintptr) {
		_, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		is = !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	return err != nil || is
}

// peek is what comes next, without taking it or waiting for it; ended is true when nothing does, or there is an error.
func peek(raw syscall.RawConn, p []byte) (n int, ended bool) {
	failed := raw.Control(func(fd uintptr) {
		var err error
		n, _, err = unix.Recvfrom(int(fd), p, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		waits := errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR)
		ended = err != nil && !waits || err == nil && n == 0
	})
	return max(n, 0), ended || failed != nil
}

// unsent is the number of bytes in the send queue that were never sent.
func unsent(raw syscall.RawConn) int {
	n := 0
	_ = raw.Control(func(fd uintptr) {
		n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQNSD)
	})
	return n
}
