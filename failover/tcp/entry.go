package tcp

import (
	"context"
	"errors"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/registry"
	"github.com/eastway/eastway/internal/relay"
	"github.com/eastway/eastway/tunnel"
)

// The names of a connection's ends in the access log.
const (
	endClient   = "client"
	endEndpoint = "endpoint"
	endPeer     = "peer"
)

// notConnected fills in why no endpoint has the connection.
func notConnected(e *access.Entry, err error) {
	e.Err = err
	switch {
	case errors.Is(err, dial.ErrUnknownOutcome):
		e.Result, e.Ended = access.UnknownOutcome, "outcome unknown"
	case errors.Is(err, dial.ErrClientReset):
		e.Result, e.Ended = access.ClientReset, "client reset"
	case errors.Is(err, dial.ErrBudget):
		e.Result, e.Ended = access.Timeout, "connect timeout"
	case errors.Is(err, dial.ErrNoEndpoint):
		e.Result, e.Ended = dial.Result(err), "no endpoint"
	case isLimited(err):
		e.Result, e.Ended = access.RateLimited, "rate limit"
	case errors.Is(err, registry.ErrTooMany), errors.Is(err, errMaxConnections), errors.Is(err, balance.ErrFull):
		e.Result, e.Ended = access.Limit, "limit"
	case errors.Is(err, registry.ErrDraining), errors.Is(err, registry.ErrStopped):
		e.Result, e.Ended = access.Stopped, "stopped"
	case errors.Is(err, context.Canceled):
		e.Result, e.Ended = access.ClientReset, "client reset"
	default:
		e.Result, e.Ended = access.Error, "error"
	}
}

func isLimited(err error) bool {
	_, ok := errors.AsType[*limitedError](err)
	return ok
}

// connected fills in which candidate accepted.
func connected(e *access.Entry, c *dial.Conn) {
	defer e.AcceptedNow()
	e.Endpoint, e.Cluster, e.Locality = c.String(), c.Cluster, c.Locality
	if c.Stream == nil {
		return
	}
	e.Lane = lane(c.Stream.Info())
	if answer := c.Stream.Answer(); answer != nil {
		e.Endpoint = access.Clip(answer.GetEndpoint())
		if l := answer.GetEndpointLocality(); l != nil {
			e.Locality.Region, e.Locality.Zone = access.Clip(l.GetRegion()), access.Clip(l.GetZone())
		}
	}
}

// lane names a lane by the replica at its other end.
func lane(info tunnel.StreamInfo) string { return info.Replica + "/" + info.Lane }

// relayed fills in what became of a connection; client and server are its ends' names.
func relayed(e *access.Entry, r relay.Result, client, server string) {
	e.Up, e.Down, e.Err = r.Up, r.Down, r.Err
	by := client
	if r.By == relay.Server {
		by = server
	}
	switch {
	case r.How == relay.Closed:
		e.Result, e.Ended = access.OK, by+" closed"
	case r.How == relay.Reset, r.How == relay.Broken && errors.Is(r.Err, tunnel.ErrReset):
		e.Result, e.Ended = access.Reset, by+" reset"
	case r.How == relay.Broken:
		e.Result, e.Ended = access.Lost, by+" lost"
	case r.How == relay.Idle:
		e.Result, e.Ended = access.Idle, "idle"
	case errors.Is(r.Err, registry.ErrDenied):
		e.Result, e.Ended = access.Denied, "denied"
	default:
		e.Result, e.Ended = access.Stopped, "stopped"
	}
}
