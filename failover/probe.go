package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/eastway/eastway/internal/relay"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// prober asks ejected targets whether they accept connections again.
type prober struct {
	connector // for dial and headerFor; it connects nothing
}

// probe returns nil when t accepts connections. isInconclusive tells errors apart that say nothing of t.
func (p *Proxy) probe(ctx context.Context, t *target) error {
	pr := prober{connector{
		key: t.group.key, cluster: p.cfg.Cluster, callerLocality: p.cfg.Locality,
		tunnels: p.cfg.Tunnels, network: p.network, caller: "probe",
	}}
	a := &attempt{candidate: candidate{option: option{target: t, key: t.key}}, timeout: t.group.policy().connectTimeout}
	if t.key.peer == "" {
		conn, err := pr.dial(ctx, ctx, a)
		if err != nil {
			return err
		}
		leave(conn)
		return nil
	}
	return pr.peer(ctx, a)
}

// leave ends a connection that was only to be made, and clean: an endpoint need not think that something went wrong.
func leave(conn relay.Conn) {
	_ = conn.SetLinger(-1)
	_ = conn.Close()
}

func (p *prober) peer(ctx context.Context, a *attempt) error {
	h := p.headerFor(a)
	h.Probe = true
	s, err := p.tunnels.Open(ctx, a.key.peer, h, nil)
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

// isInconclusive tells whether a probe that ended with err says nothing of the
// target: it could not be sent, or the peer was too busy.
func isInconclusive(err error) bool {
	var lost *tunnel.LostError
	var refused *tunnel.RefusedError
	switch {
	case errors.As(err, &refused):
		return refused.Code == tunnelpb.Answer_CODE_OVERLOADED || refused.Code == tunnelpb.Answer_CODE_DRAINING
	case errors.As(err, &lost), errors.Is(err, errSuspect), errors.Is(err, context.Canceled),
		errors.Is(err, tunnel.ErrNoLane), errors.Is(err, tunnel.ErrUnknownPeer):
		return true
	default:
		return isShortage(err)
	}
}

// answerProbe tells a peer that a probe was accepted and waits for the peer to take leave, so
// that no reset overtakes the answer.
func answerProbe(ctx context.Context, in Incoming, answer *tunnelpb.Answer) error {
	s, err := in.Accept(answer)
	if err != nil {
		return fmt.Errorf("failover: answer probe of %s: %w", in.Peer(), err)
	}
	ctx, cancel := context.WithTimeout(ctx, probeLinger)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.Reset("probe done") })
	defer stop()
	_ = s.CloseWrite()
	// One that sends data on a probe is not heard.
	_, _ = io.CopyN(io.Discard, s, 1)
	s.Reset("probe done")
	return nil
}

// toTimeout is a peer's deadline as a duration within bounds.
func toTimeout(ms uint64, longest time.Duration) time.Duration {
	if ms == 0 || ms > uint64(longest.Milliseconds()) { //nolint:gosec // positive
		return longest
	}
	return time.Duration(ms) * time.Millisecond //nolint:gosec // at most longest
}
