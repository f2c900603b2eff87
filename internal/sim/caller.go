package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"time"

	"github.com/eastway/eastway/internal/sim/pattern"
	"github.com/eastway/eastway/internal/sim/simnet"
)

const (
	// callerPatience is how long a caller waits for any one thing: longer than all that the proxies may take.
	callerPatience = 30 * time.Second
	// toldWithin is how long the reset of a stalled answer may take to the caller: a step of the relay's and the stream's grace
	// at each proxy, and round trips.
	toldWithin = 5 * time.Second
)

// outcome is what became of a call, as its caller saw it.
type outcome struct {
	call         *Call
	proxy        *proxy // that it was sent to; nil: there was none
	from         string // the caller's address
	began, ended time.Time
	received     int64
	err          error // nil: it went as planned
}

// callAll makes the planned calls and HTTP requests, and returns when all have ended.
func (w *world) callAll() {
	for i := range w.plan.Calls {
		c := &w.plan.Calls[i]
		w.wg.Go(func() {
			pass(time.Until(w.start.Add(c.At)))
			w.ledger.ended(w.call(c))
		})
	}
	w.requestAll()
	w.wg.Wait()
}

// call makes one call.
func (w *world) call(c *Call) *outcome {
	o := &outcome{call: c, began: time.Now()}
	defer func() { o.ended = time.Now() }()
	cl := w.clusters[c.Cluster]
	o.proxy = cl.proxyFor(rand.New(rand.NewPCG(w.plan.Seed, uint64(c.ID))))
	if o.proxy == nil {
		o.err = errNoProxy
		return o
	}
	proc := cl.callers[c.Zone].Start()
	ctx, cancel := context.WithTimeout(w.ctx, callerPatience)
	defer cancel()
	conn, err := proc.Dial(ctx, netip.AddrPortFrom(o.proxy.host.Addr(), servicePort(c.Service, c.Greeted)))
	if err != nil {
		o.err = err
		return o
	}
	o.from = conn.LocalAddr().String()
	_ = conn.SetLinger(0)
	cc := &calling{world: w, call: c, conn: conn, out: flow{content: pattern.Of(c.ID, pattern.ToEndpoint)}}
	cc.in.content = pattern.Of(c.ID, pattern.ToCaller)
	o.err = cc.run()
	o.received = cc.in.at
	if o.err == nil && c.Kind != CallerResets {
		_ = conn.SetLinger(-1)
	}
	_ = conn.Close()
	return o
}

// errResetByPeer is what reading a connection gives that the other side has reset.
const errResetByPeer = syscall.ECONNRESET

var (
	errNoProxy = errors.New("no proxy is ready")
	// errCutOff is a clean end before everything was there.
	errCutOff = errors.New("clean end of a cut-off answer")
	errUntold = errors.New("the endpoint's reset did not reach the caller")
)

// calling is one call at its caller.
type calling struct {
	world   *world
	call    *Call
	conn    *simnet.Conn
	out, in flow
}

func (c *calling) run() error {
	_ = c.conn.SetDeadline(time.Now().Add(callerPatience))
	if c.call.Greeted {
		if _, err := io.ReadFull(c.conn, make([]byte, greetingSize)); err != nil {
			return clean(err)
		}
	}
	if _, err := c.conn.Write(c.call.header()); err != nil {
		return err
	}
	switch c.call.Kind {
	case Session:
		return c.session()
	case CallerResets:
		return c.out.send(c.conn, c.call.Up/2)
	default:
	}
	if err := c.out.send(c.conn, c.call.Up); err != nil {
		return err
	}
	switch c.call.Kind {
	case EndpointResets:
		return c.expectReset()
	case Stalled:
		return c.waitForReset()
	case Upload:
		if err := c.conn.CloseWrite(); err != nil {
			return err
		}
		return c.untilEnd()
	case UntilEnd:
		return c.untilEnd()
	default:
		return clean(c.in.receive(c.conn, c.call.Down))
	}
}

func (c *calling) session() error {
	for step := range c.call.Steps {
		_ = c.conn.SetDeadline(time.Now().Add(callerPatience))
		if err := c.out.send(c.conn, part(c.call.Up, c.call.Steps, step)); err != nil {
			return err
		}
		if err := c.in.receive(c.conn, part(c.call.Down, c.call.Steps, step)); err != nil {
			return clean(err)
		}
		pass(c.call.Think)
	}
	return nil
}

func (c *calling) untilEnd() error {
	if err := c.in.receiveAll(c.conn); err != nil {
		return err
	}
	if c.in.at != int64(c.call.Down) {
		return fmt.Errorf("%w: %d bytes of %d", errCutOff, c.in.at, c.call.Down)
	}
	return nil
}

// expectReset reads what the endpoint had sent before it reset the connection, and the reset.
func (c *calling) expectReset() error {
	err := c.in.receiveAll(c.conn)
	switch {
	case err == nil:
		return fmt.Errorf("%w: the endpoint has reset the connection after %d bytes, %d arrived", errCutOff, c.call.Down/2, c.in.at)
	case c.in.at == int64(c.call.Down/2) && errors.Is(err, errResetByPeer):
		return nil
	default:
		return fmt.Errorf("after %d bytes of %d before the reset: %w", c.in.at, c.call.Down/2, err)
	}
}

// waitForReset reads nothing until the connection is broken.
func (c *calling) waitForReset() error {
	t := time.NewTimer(callerPatience)
	defer t.Stop()
	select {
	case <-c.conn.Broken():
	case <-t.C:
		return errUntold
	}
	if gave := c.world.ledger.gaveUpAt(c.call.ID); !gave.IsZero() && time.Since(gave) > toldWithin {
		return fmt.Errorf("%w for %v", errUntold, time.Since(gave))
	}
	return nil
}

// clean names a clean end that comes too early.
func clean(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errCutOff
	}
	return err
}
