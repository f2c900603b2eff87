package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// End is one side of a relayed connection. Use a Socket or a *Stream. Read and
// Write are each used by one goroutine, everything else by any.
type End interface {
	io.Reader
	io.Writer
	// CloseWrite ends this direction clean: no more bytes follow.
	CloseWrite() error
	// Abort resets both directions; it unblocks Read and Write and may be called again.
	Abort(reason string)
	// Broken is closed when this side has reset the connection or is gone, also while nothing reads or
	// writes there. It may stay open where that cannot be noticed without reading.
	Broken() <-chan struct{}

	// readBuffer is Read into b, which it acquires as late as it can.
	readBuffer(b *buffer) (int, error)
	// flush waits, for a short time at most, until what was written has left the process.
	flush()
	// release frees what is held once both directions have ended.
	release()
}

// ErrReset is what reading a TCP end gives that was reset but whose error was taken by another call.
var ErrReset = &os.SyscallError{Syscall: "read", Err: syscall.ECONNRESET}

// errVanished is why a socket was closed whose host does not answer; the kernel gives the same error in the end.
var errVanished = &os.SyscallError{Syscall: "read", Err: syscall.ETIMEDOUT}

// isReset is true for an error of a connection that the other end reset,
// rather than that the network or the host behind it is gone.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// isClosed is true for an error that our own Abort has caused.
func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }
