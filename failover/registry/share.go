package registry

import (
	"fmt"
	"net/netip"
)

const (
	// scarceQuarters is how many quarters of a limit are used when what is left is kept for sources that hold little.
	scarceQuarters = 3
	// shareOf is the part of a limit that a source may hold then, as a divisor.
	shareOf = 4
)

// Limit is a bound on connections, as the metric names it.
type Limit string

// The limits.
const (
	LimitListener      Limit = "listener"
	LimitListenerShare Limit = "listener_share" // the source holds its share, and the limit is nearly reached
	LimitProxy         Limit = "proxy"
	LimitProxyShare    Limit = "proxy_share"
	LimitPeer          Limit = "peer" // streams, or requests, of one peer
	LimitPeerShare     Limit = "peer_share"
	LimitCallerShare   Limit = "caller_share" // of what a peer may have to one service
	LimitStreams       Limit = "streams"      // of all peers
	LimitStreamsShare  Limit = "streams_share"
)

// LimitError is ErrTooMany, with the limit that a connection met.
type LimitError struct {
	Limit Limit
	// Used of Most are taken, Held of them by the connection's source.
	Used, Held, Most int
}

func (e *LimitError) Error() string {
	switch e.Limit {
	case LimitListenerShare, LimitProxyShare:
		return fmt.Sprintf("%v: %d of %d are open, and their source has %d of them", ErrTooMany, e.Used, e.Most, e.Held)
	case LimitPeer:
		return fmt.Sprintf("%v: %d streams of this peer are open, as many as one may have at a proxy", ErrTooMany, e.Used)
	case LimitPeerShare:
		return fmt.Sprintf("%v: %d of %d streams that this peer may have at a proxy are open, %d of them to this service",
			ErrTooMany, e.Used, e.Most, e.Held)
	case LimitCallerShare:
		return fmt.Sprintf("%v: %d of %d streams that this peer may have to one service at a proxy are open, %d of them of this caller",
			ErrTooMany, e.Used, e.Most, e.Held)
	case LimitStreams:
		return fmt.Sprintf("%v: %d streams of all peers are open, as many as a proxy may have", ErrTooMany, e.Used)
	case LimitStreamsShare:
		return fmt.Sprintf("%v: %d of %d streams that a proxy may have are open, %d of them of this peer", ErrTooMany, e.Used, e.Most, e.Held)
	case LimitListener, LimitProxy:
	}
	return fmt.Sprintf("%v: %d are open", ErrTooMany, e.Used)
}

func (e *LimitError) Unwrap() error { return ErrTooMany }

// admit decides about one more connection where so many of a limit are used, and so many of these are held by its source; nil: it may be
// added. While the limit is far, a source may hold any number. The last quarter is for sources that hold less than a quarter of all.
func admit(full, share Limit, used, held, most int) *LimitError {
	e := &LimitError{Limit: full, Used: used, Held: held, Most: most}
	switch {
	case used >= most:
		return e
	case 4*used >= scarceQuarters*most && shareOf*held >= most:
		e.Limit = share
		return e
	}
	return nil
}

// admitFrom decides about one more stream of a peer's caller to a service, whose streams of this peer are so many, so many of them of this
// caller. A service gets three quarters of what its peer may have at most: of these, too, the last quarter is for callers that hold less
// than a quarter. A caller that the peer does not name has no share.
func admitFrom(from netip.Prefix, used, held, perPeer int) *LimitError {
	const quarters = 4
	if from.IsValid() && quarters*quarters*used >= scarceQuarters*scarceQuarters*perPeer && quarters*shareOf*held >= scarceQuarters*perPeer {
		return &LimitError{Limit: LimitCallerShare, Used: used, Held: held, Most: scarceQuarters * perPeer / quarters}
	}
	return nil
}
