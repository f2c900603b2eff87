package dial

import (
	"context"
	"errors"
	"fmt"

	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/originate"
	"github.com/eastway/eastway/internal/relay"
	"github.com/eastway/eastway/internal/shortage"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// probeCaller is the caller that peers see in probes.
const probeCaller = "probe"

// Probe returns nil when the candidate accepts connections of the service port. An error that means nothing for it wraps
// balance.ErrInconclusive.
func (d *Dialer) Probe(ctx context.Context, k balance.Key, c balance.Candidate) error {
	err := d.probe(ctx, k, &c)
	if isInconclusive(err) {
		return fmt.Errorf("%w: %w", balance.ErrInconclusive, err)
	}
	return err
}

func (d *Dialer) probe(ctx context.Context, k balance.Key, c *balance.Candidate) error {
	if c.Peer != "" {
		return d.probePeer(ctx, k, c)
	}
	ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
	defer cancel()
	alpn := ""
	if c.HTTP {
		alpn = originate.AnyHTTP
	}
	conn, err := d.dialLocal(ctx, endpointOf(c, alpn))
	if err != nil {
		return err
	}
	leave(conn, c.ProxyProtocol)
	return nil
}

// Leave ends a connection that was only to be made, and clean.
func Leave(conn relay.Conn) { leave(conn, false) }

func (d *Dialer) probePeer(ctx context.Context, k balance.Key, c *balance.Candidate) error {
	h := d.header(k, probeCaller, d.cfg.Locality, c.ConnectTimeout, c.RTT)
	h.Probe = true
	s, err := d.cfg.Tunnels.Open(ctx, c.Peer, h, nil)
	if err != nil {
		return err
	}
	defer s.Reset("probe done")
	select {
	case <-s.Answered():
		return s.Outcome()
	case <-s.Suspect():
		return errSuspect
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errAttemptTimeout, ctx.Err())
	}
}

// isOwn is true when err is due to what this host is short of, or to its own certificates.
func isOwn(err error) bool {
	secure, ok := errors.AsType[*originate.Error](err)
	return ok && secure.Reason == originate.Own || shortage.Of(err) != ""
}

// isInconclusive is true when a probe that ended with err means nothing for its
// target: it could not be sent, or the peer was too busy.
func isInconclusive(err error) bool {
	var lost *tunnel.LostError
	var refused *tunnel.RefusedError
	switch {
	case errors.As(err, &refused):
		return isOverloaded(refused) || refused.Code == tunnelpb.Answer_CODE_DRAINING
	case errors.As(err, &lost), errors.Is(err, errSuspect), errors.Is(err, context.Canceled),
		errors.Is(err, tunnel.ErrNoLane), errors.Is(err, tunnel.ErrFull), errors.Is(err, tunnel.ErrUnknownPeer):
		return true
	default:
		return isOwn(err)
	}
}
