package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/tunnel"
)

// How connecting can fail, beside the end of the context.
var (
	// errNoEndpoint: there was nothing to try, or nothing that was tried accepted.
	errNoEndpoint = errors.New("no endpoint accepted the connection")
	// errUnknownOutcome: the lane died after bytes of the application were sent and before the answer.
	errUnknownOutcome = errors.New("the lane was lost after data was sent: unknown whether it was used")
	// errClientReset: the application or peer went away first.
	errClientReset = errors.New("the client reset the connection")
	// errBudget: all attempts together took too long.
	errBudget = errors.New("no endpoint accepted the connection in time")
)

// connector tries the candidates of one connection until one accepts. Its rules:
//
//   - The next candidate is tried when one fails, or beside it when it does not answer within its stagger.
//     The first to accept wins, the others are abandoned.
//   - Bytes of the application go to one candidate at a time. They may go to a peer before its answer
//     while it is the only one being tried (its gate is open). Once another one is tried beside it, no attempt
//     gets bytes before it has won; and beside one that has got bytes no other is tried.
//   - What a candidate has refused, or did not get, is replayed to the next one. If the lane dies after bytes were
//     sent, nothing else is tried.
type connector struct {
	key            portKey
	cluster        string // our own
	caller         string
	callerLocality discovery.Locality
	tunnels        Tunnels
	network        Network
	metrics        *metrics
	timeout        time.Duration // of one attempt
	early          *early        // nil when there is nothing to read before acceptance
	broken         <-chan struct{}
	// life ends local dials that are heard out; it outlives the connection.
	life context.Context //nolint:containedctx // not a call's

	queue    []candidate
	running  []*attempt
	results  chan *attempt
	quit     chan struct{}
	attempts []Attempt
	wg       *sync.WaitGroup
}

// connect tries queue within budget. The attempt that it returns was accepted, and counts in its target's
// active until the caller takes it out. The caller has to wait for wg, up to localVerdict.
func (c *connector) connect(ctx context.Context, queue []option, budget time.Duration) (*attempt, error) {
	for i := range queue {
		c.queue = append(c.queue, candidate{option: queue[i]})
	}
	c.results, c.quit = make(chan *attempt), make(chan struct{})
	ctx, cancel := context.WithTimeoutCause(ctx, budget, errBudget)
	defer cancel()
	defer c.settle()
	stagger := c.launch(ctx)
	for len(c.running) > 0 {
		select {
		case a := <-c.results:
			c.running = slices.DeleteFunc(c.running, func(r *attempt) bool { return r == a })
			if a.err == nil {
				c.record(a, resultAccepted, "")
				a.target.group.succeeded(a.target)
				return a, nil
			}
			if c.failed(a) {
				return nil, fmt.Errorf("%w: %w", errUnknownOutcome, a.err)
			}
			stagger = c.launch(ctx)
		case <-stagger:
			stagger = c.launch(ctx)
		case <-c.broken:
			return nil, errClientReset
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return nil, errNoEndpoint
}

// launch starts the next candidate if there is one and if it may be tried beside those that are running. It
// returns when to try the one after it.
func (c *connector) launch(ctx context.Context) <-chan time.Time {
	if len(c.queue) == 0 {
		return nil
	}
	for _, a := range c.running {
		if !a.gate.close() {
			return nil // has got bytes
		}
	}
	next := c.queue[0]
	c.queue = c.queue[1:]
	a := &attempt{candidate: next, started: time.Now(), timeout: c.timeout}
	if deadline, ok := ctx.Deadline(); ok {
		a.timeout = min(a.timeout, time.Until(deadline))
	}
	if len(c.running) > 0 || c.early == nil {
		a.gate.close()
	}
	c.running = append(c.running, a)
	a.target.active.Add(1)
	c.wg.Go(func() { c.try(ctx, a) })
	return time.After(max(localStagger, peerStaggerRTTs*next.rtt))
}

func (c *connector) try(ctx context.Context, a *attempt) {
	if a.key.peer == "" {
		a.conn, a.err = c.dial(c.life, ctx, a)
	} else {
		a.stream, a.err = c.open(ctx, a)
	}
	a.took = time.Since(a.started)
	select {
	case c.results <- a:
	case <-c.quit:
		a.abandon()
		if a.key.peer == "" && a.err != nil && c.life.Err() == nil && !isShortage(a.err) {
			a.target.group.failed(a.target, kindLocal)
		}
	}
}

// failed takes in a failed attempt; true means that nothing else may be tried.
func (c *connector) failed(a *attempt) bool {
	a.target.active.Add(-1)
	v := judge(a.key, a.err)
	if len(a.avoid) == 0 || !errors.Is(a.err, tunnel.ErrNoLane) { // that the peer has no other replica is no attempt
		c.record(a, v.result, a.err.Error())
	}
	if v.failure != "" {
		a.target.group.failed(a.target, v.failure)
	}
	if v.hold > 0 {
		a.target.group.hold(a.target, v.hold)
	}
	// The one usable link may be the replica's that failed, or, when that one has just gone away, another's.
	if v.elsewhere && a.replica != "" && len(a.avoid) < maxSamePeer && c.tunnels.State(a.key.peer).Usable {
		again := candidate{option: a.option, avoid: append(slices.Clone(a.avoid), a.replica)}
		c.queue = slices.Insert(c.queue, 0, again)
	}
	return v.unknown
}

// settle abandons what is still running. Local endpoints are still heard out (see dial): were they not, one that
// swallows connections would delay each of them and never be ejected. A peer races its own endpoints and ejects them itself.
func (c *connector) settle() {
	close(c.quit)
	for _, a := range c.running {
		a.target.active.Add(-1)
		c.recordAs(a, resultAbandoned, "no answer yet", time.Since(a.started))
	}
	c.running = nil
}

func (c *connector) record(a *attempt, result, reason string) { c.recordAs(a, result, reason, a.took) }

func (c *connector) recordAs(a *attempt, result, reason string, took time.Duration) {
	c.metrics.attempt(a.key, result)
	if len(c.attempts) == maxLoggedAttempts {
		c.attempts = slices.Delete(c.attempts, 0, 1)
	}
	c.attempts = append(c.attempts, Attempt{
		Target: a.key.String(), Cluster: a.cluster, Result: result, Reason: clip(reason), Took: took,
	})
}
