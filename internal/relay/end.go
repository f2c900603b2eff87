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
	// CloseWrite tells this side that no more bytes follow: a clean end of one direction.
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

// isReset tells whether err says that the other end reset the connection,
// rather than that the network or the host behind it is gone.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// isClosed tells whether err comes from our own Abort.
func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }
