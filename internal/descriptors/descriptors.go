package descriptors

import (
	"errors"
	"fmt"
	"syscall"
)

const (
	// reservePart of the descriptors that a process may have are kept in reserve, as a divisor.
	reservePart = 4
	// maxReserve is enough for all that is bounded otherwise: 512 handshakes, 2,048 node agents, 512 clients of the admin and health
	// listeners, 256 health checks, and lanes and files.
	maxReserve = 8192
)

// Limit is how many descriptors this process may have; Go's runtime has raised that as far as it may. 0: not known.
func Limit() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return limit.Cur
}

// Reserve is how many of them are not for connections of applications and peers.
func Reserve(limit uint64) uint64 { return min(limit/reservePart, maxReserve) }

// Share is a part of the reserve of this process, of at most most, for one thing that has a bound of its own.
func Share(most, part int) int {
	limit := Limit()
	if limit == 0 {
		return most
	}
	return max(1, min(most, int(Reserve(limit))/part))
}

// Gate refuses connections that would take a descriptor of the reserve. The zero value refuses none.
type Gate struct {
	first uint64 // descriptor of the reserve; 0: there is no reserve
	limit uint64
}

// NewGate makes the gate of a process that may have so many descriptors; 0: any number.
func NewGate(limit uint64) Gate { return Gate{first: limit - Reserve(limit), limit: limit} }

// Admit is nil for a new descriptor that is not of the reserve, else an error that wraps syscall.EMFILE. The kernel gives out the
// lowest number that is free: all below this one are taken.
func (g Gate) Admit(fd uintptr) error {
	if g.first == 0 || uint64(fd) < g.first {
		return nil
	}
	return fmt.Errorf("%w: %d of %d are in use, and the rest is kept for the proxy itself", syscall.EMFILE, g.first, g.limit)
}

// AdmitConn is Admit for a new socket. What has no descriptor is admitted.
func (g Gate) AdmitConn(conn any) error {
	c, ok := conn.(syscall.Conn)
	if !ok || g.first == 0 {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil //nolint:nilerr // it is closed already, as its reader will see
	}
	return g.Control("", "", raw)
}

// Control is Admit for the Control of a net.Dialer.
func (g Gate) Control(_, _ string, raw syscall.RawConn) error {
	var refused error
	return errors.Join(raw.Control(func(fd uintptr) { refused = g.Admit(fd) }), refused)
}
