package tcp

import (
	"errors"
	"fmt"
	"time"

	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/ratelimit"
	"github.com/eastway/eastway/failover/slots"
)

// limitedError: the policy's rateLimit allows no more connections for so long.
type limitedError struct{ wait time.Duration }

func (e *limitedError) Error() string {
	return fmt.Sprintf("the policy's rateLimit allows no more connections for %v", max(e.wait.Round(time.Millisecond), time.Millisecond))
}

// errMaxConnections: the policy's connectionPool allows no more connections.
var errMaxConnections = errors.New("as many connections are open as the policy's maxConnections")

// allowance is what one connection may take of the limits of its service port. It counts where its endpoint is: a connection that a peer's
// endpoints serve counts there.
type allowance struct {
	*Handler
	key  balance.Key
	rate ratelimit.Counted
	max  int // connections; 0: any number
	// free: it counts nowhere.
	free bool
	// slot counts it among the connections; nil: it does not count there yet.
	slot *slots.Slot
}

func (h *Handler) allowance(key balance.Key, cluster string) *allowance {
	return &allowance{
		Handler: h, key: key, rate: h.cfg.Table.Limits(key).Matching(&ratelimit.Call{Cluster: cluster}),
		max: h.cfg.Table.Requests(key).Pool.MaxConnections,
	}
}

// withRoom are the candidates that can take one more call; an error if none can.
func (a *allowance) withRoom(candidates []balance.Candidate) ([]balance.Candidate, error) {
	if a.free {
		return candidates, nil
	}
	left, full := balance.WithRoom(candidates, nil, nil)
	if full {
		a.cfg.LimitMet(a.key.Service, LimitCapacity)
		return nil, balance.ErrFull
	}
	return left, nil
}

// admits is nil unless a connection that would go to the first candidate is beyond a limit: then no endpoint gets one. The connection has
// its slot from here on, so that not more are made at a time, until done.
func (a *allowance) admits(candidates []balance.Candidate) error {
	if a.free || len(candidates) == 0 || candidates[0].Peer != "" {
		return nil
	}
	if err := a.withinRate(a.rate.Wait(time.Now())); err != nil {
		return err
	}
	return a.takeSlot()
}

// take counts a connection that a candidate has accepted, unless it failed. One that is beyond a limit is given back.
func (a *allowance) take(won *dial.Conn, failed error) error {
	if errors.Is(failed, balance.ErrFull) {
		a.cfg.LimitMet(a.key.Service, LimitCapacity)
	}
	if a.free || failed != nil {
		return failed
	}
	if won.Peer != "" {
		a.done()
		return nil
	}
	err := a.takeSlot()
	if err == nil {
		err = a.withinRate(a.rate.Take(time.Now()))
	}
	if err != nil {
		won.Leave()
		won.Use.Done(balance.Outcome{})
	}
	return err
}

// done ends the connection.
func (a *allowance) done() { a.slot.Close() }

func (a *allowance) takeSlot() error {
	if a.slot != nil {
		return nil
	}
	if a.slot = a.cfg.Slots.Take(a.key, a.max); a.slot == nil {
		a.cfg.LimitMet(a.key.Service, LimitConnections)
		return errMaxConnections
	}
	return nil
}

// withinRate is an error for a connection that has to wait for a token.
func (a *allowance) withinRate(wait time.Duration) error {
	if wait == 0 {
		return nil
	}
	a.cfg.LimitMet(a.key.Service, LimitRate)
	return &limitedError{wait}
}

// Limit is one that connections meet.
type Limit int

// The limits of a policy: rateLimit, the maxConnections of its connectionPool, and what endpoints can take by its capacity.
const (
	LimitRate Limit = iota
	LimitConnections
	LimitCapacity
)
