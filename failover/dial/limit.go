package dial

import (
	"errors"
	"fmt"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/internal/shortage"
	"github.com/eastway/eastway/tunnel"
)

// LimitError is ErrNoEndpoint where an attempt met a limit: without it, an endpoint might have accepted.
type LimitError struct {
	// Peer has refused because of a limit of its own; empty: this host is short of something, or the lanes to a peer are full.
	Peer string
	// Reason is what the peer says, or what there is too little of here.
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
		if of := shortage.Of(a.err); of != "" {
			return &LimitError{Reason: of.Reason()}
		}
		return nil
	}
	if refused, ok := errors.AsType[*tunnel.RefusedError](a.err); ok && isOverloaded(refused) {
		return &LimitError{Peer: a.Peer, Reason: refused.Reason}
	}
	if errors.Is(a.err, tunnel.ErrFull) {
		return &LimitError{Reason: a.err.Error()}
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
