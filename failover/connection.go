package failover

import (
	"context"
	"errors"
	"time"

	"github.com/eastway/eastway/internal/relay"
	"github.com/eastway/eastway/tunnel"
)

// Results of a connection, as the metric of connections names them.
const (
	endedOK       = "ok"
	endedReset    = "reset"
	endedLost     = "lost"
	endedIdle     = "idle"
	endedStopped  = "stopped"
	endedNothing  = "no_endpoint"
	endedTimeout  = "timeout"
	endedUnknown  = "unknown_outcome"
	endedClient   = "client_reset"
	endedLimit    = "limit"
	endedRefused  = "refused"
	endedInternal = "error"
	endedProbe    = "probe"
)

// notConnected fills in why no endpoint has the connection.
func (e *entry) notConnected(err error) {
	e.err = err
	switch {
	case errors.Is(err, errUnknownOutcome):
		e.result, e.ended = endedUnknown, "outcome unknown"
	case errors.Is(err, errClientReset):
		e.result, e.ended = endedClient, "client reset"
	case errors.Is(err, errBudget):
		e.result, e.ended = endedTimeout, "connect timeout"
	case errors.Is(err, errNoEndpoint):
		e.result, e.ended = endedNothing, "no endpoint"
	case errors.Is(err, errTooMany):
		e.result, e.ended = endedLimit, "limit"
	case errors.Is(err, errDraining), errors.Is(err, errStopped):
		e.result, e.ended = endedStopped, "stopped"
	case errors.Is(err, context.Canceled):
		e.result, e.ended = endedClient, "client reset"
	default:
		e.result, e.ended = endedInternal, "error"
	}
}

// connected fills in which attempt was accepted.
func (e *entry) connected(a *attempt) {
	e.endpoint, e.cluster, e.at = a.key.String(), a.cluster, a.locality
	e.accepted = time.Since(e.started)
	if a.stream == nil {
		return
	}
	e.over(a.stream.Info())
	if answer := a.stream.Answer(); answer != nil {
		e.endpoint = clip(answer.GetEndpoint())
		if l := answer.GetEndpointLocality(); l != nil {
			e.at.Region, e.at.Zone = clip(l.GetRegion()), clip(l.GetZone())
		}
	}
}

// over fills in the lane, by the replica at its other end.
func (e *entry) over(info tunnel.StreamInfo) { e.lane = info.Replica + "/" + info.Lane }

// relayed fills in what became of a connection; client and server are its ends' names.
func (e *entry) relayed(r relay.Result, client, server string) {
	e.up, e.down, e.err = r.Up, r.Down, r.Err
	by := client
	if r.By == relay.Server {
		by = server
	}
	switch {
	case r.How == relay.Closed:
		e.result, e.ended = endedOK, by+" closed"
	case r.How == relay.Reset, r.How == relay.Broken && errors.Is(r.Err, tunnel.ErrReset):
		e.result, e.ended = endedReset, by+" reset"
	case r.How == relay.Broken:
		e.result, e.ended = endedLost, by+" lost"
	case r.How == relay.Idle:
		e.result, e.ended = endedIdle, "half-closed and idle"
	default:
		e.result, e.ended = endedStopped, "stopped"
	}
}

// finish writes the line and counts.
func (p *Proxy) finish(e *entry) {
	p.metrics.ended(e.service, e.direction, e.result, e.up, e.down, e.accepted)
	e.write(p.cfg.AccessLog)
}
