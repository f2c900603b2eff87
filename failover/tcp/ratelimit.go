package tcp

import (
	"fmt"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/ratelimit"
)

// limitedError: the policy's rateLimit allows no more connections for so long.
type limitedError struct{ wait time.Duration }

func (e *limitedError) Error() string {
	return fmt.Sprintf("the policy's rateLimit allows no more connections for %v", max(e.wait.Round(time.Millisecond), time.Millisecond))
}

// allowance is what one connection may take of the rate limits of its service port. It counts when an endpoint of the own cluster has
// accepted it: where a peer's endpoints serve it, it counts there.
type allowance struct {
	of      ratelimit.Counted
	service discovery.ServiceName
	refused func(discovery.ServiceName)
}

func (h *Handler) allowance(key balance.Key, cluster string) *allowance {
	return &allowance{
		of:      h.cfg.Table.Limits(key).Matching(&ratelimit.Call{Cluster: cluster}),
		service: key.Service, refused: h.cfg.RateLimited,
	}
}

// admits is nil unless a connection that would go to the first candidate is beyond a limit: then no endpoint gets one.
func (a *allowance) admits(candidates []balance.Candidate) error {
	if len(candidates) == 0 || candidates[0].Peer != "" {
		return nil
	}
	return a.within(a.of.Wait(time.Now()))
}

// take counts a connection that a candidate has accepted. One that is beyond a limit is given back.
func (a *allowance) take(won *dial.Conn) error {
	if won.Peer != "" {
		return nil
	}
	err := a.within(a.of.Take(time.Now()))
	if err != nil {
		dial.Leave(won.Socket)
		won.Use.Done(balance.Outcome{})
	}
	return err
}

// within is an error for a connection that has to wait for a token.
func (a *allowance) within(wait time.Duration) error {
	if wait == 0 {
		return nil
	}
	a.refused(a.service)
	return &limitedError{wait}
}
