package dial

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/tunnel"
)

// Shortage is what this host or process is short of, as the metric names it.
type Shortage string

// What a host can be short of.
const (
	ShortOfPorts  Shortage = "ports"
	ShortOfFiles  Shortage = "files"
	ShortOfMemory Shortage = "memory"
)

// Shortages are all of them.
func Shortages() []Shortage { return []Shortage{ShortOfFiles, ShortOfMemory, ShortOfPorts} }

// text is for this cluster's access log and that of a peer.
func (s Shortage) text() string {
	switch s {
	case ShortOfPorts:
		return "the proxy's host has no free local port for the endpoint (net.ipv4.ip_local_port_range)"
	case ShortOfFiles:
		return "the proxy has no free file descriptor (limit of open files)"
	case ShortOfMemory:
		return "the proxy's host has no memory for another connection"
	}
	return string(s)
}

// ShortageOf is what a dial, or an accept, that failed with err was short of; empty: nothing. The other end is not to blame then.
func ShortageOf(err error) Shortage {
	for _, short := range []struct {
		errno syscall.Errno
		of    Shortage
	}{
		{syscall.EADDRNOTAVAIL, ShortOfPorts},
		{syscall.EAGAIN, ShortOfPorts}, // of connect(2)
		{syscall.EMFILE, ShortOfFiles},
		{syscall.ENFILE, ShortOfFiles},
		{syscall.ENOBUFS, ShortOfMemory},
		{syscall.ENOMEM, ShortOfMemory},
	} {
		if errors.Is(err, short.errno) {
			return short.of
		}
	}
	return ""
}

// LimitError is ErrNoEndpoint where an attempt met a limit: without it, an endpoint might have accepted.
type LimitError struct {
	// Peer has refused because of a limit of its own; empty: this host is short of something.
	Peer string
	// Reason is what the peer says, or what the host is short of.
	Reason string
}

func (e *LimitError) Error() string {
	if e.Peer != "" {
		return fmt.Sprintf("%v: peer %s: %s", ErrNoEndpoint, e.Peer, e.Reason)
	}
	return fmt.Sprintf("%v: %s", ErrNoEndpoint, e.Reason)
}

func (e *LimitError) Unwrap() error { return ErrNoEndpoint }

// limitOf is the limit that an attempt met; nil: none.
func (a *attempt) limitOf() *LimitError {
	if a.Peer == "" {
		if of := ShortageOf(a.err); of != "" {
			return &LimitError{Reason: of.text()}
		}
		return nil
	}
	if refused, ok := errors.AsType[*tunnel.RefusedError](a.err); ok && isOverloaded(refused) {
		return &LimitError{Peer: a.Peer, Reason: refused.Reason}
	}
	return nil
}

// Result is that of the access log for a connection, or request, which nothing accepted.
func Result(err error) string {
	if _, ok := errors.AsType[*LimitError](err); ok {
		return access.Limit
	}
	return access.NoEndpoint
}
