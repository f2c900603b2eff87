package takeover

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/pace"
	"github.com/eastway/eastway/internal/takeover/nft"
	"github.com/eastway/eastway/internal/takeover/report"
)

// nonceBytes is the length of the nonce that identifies the check's own listener.
const nonceBytes = 16

// checker makes the packet check.
type checker struct {
	address  netip.AddrPort
	listener net.Listener
	nonce    []byte
	dial     func(ctx context.Context, address netip.AddrPort) (net.Conn, error)
	log      *zap.Logger
	bypassed prometheus.Gauge

	mu     sync.Mutex
	result report.Datapath
}

// newChecker listens for the check's connections to address, a cluster IP and port.
func newChecker(ctx context.Context, address netip.AddrPort, env *Env, log *zap.Logger, bypassed prometheus.Gauge) (*checker, error) {
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if address.Addr().Is6() {
		loopback = netip.IPv6Loopback()
	}
	l, err := env.listen(ctx, netip.AddrPortFrom(loopback, 0).String(), false)
	if err != nil {
		return nil, fmt.Errorf("takeover: listen for the packet check: %w", err)
	}
	c := &checker{
		address: address, listener: l, nonce: make([]byte, nonceBytes), dial: env.dialMarked, log: log, bypassed: bypassed,
		result: report.Datapath{Address: address.String()},
	}
	_, _ = rand.Read(c.nonce) // never fails
	return c, nil
}

// rule is the check's part of the tables.
func (c *checker) rule() *nft.Check {
	if c == nil {
		return nil
	}
	port, ok := c.listener.Addr().(*net.TCPAddr)
	if !ok {
		return nil
	}
	listener := port.AddrPort()
	return &nft.Check{
		Mark: checkMark, Address: c.address,
		Listener: netip.AddrPortFrom(listener.Addr().Unmap(), listener.Port()),
	}
}

func (c *checker) datapath() report.Datapath {
	if c == nil {
		return report.Datapath{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.result
}

// run checks until ctx ends, once written is closed: the rule is in place then.
func (c *checker) run(ctx context.Context, written <-chan struct{}) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() { _ = c.listener.Close() })
	defer func() {
		if stop() {
			_ = c.listener.Close()
		}
	}()
	wg.Go(func() { c.serve(ctx) })
	select {
	case <-ctx.Done():
		return nil
	case <-written:
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		err := c.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		next := checkInterval
		if err == nil {
			failures = 0
		} else if failures++; failures < checkFailures {
			next = checkRetry
		}
		if failures == 0 || failures >= checkFailures {
			c.settle(err)
		}
		timer.Reset(next)
	}
}

// serve sends the nonce on each connection, one after the other. It ends when the listener is closed.
func (c *checker) serve(ctx context.Context) {
	for ctx.Err() == nil {
		conn, err := c.listener.Accept()
		if err != nil {
			pace.Sleep(ctx, checkRetry) // no file descriptor is left, or the connection was gone already
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(checkTimeout))
		_, _ = conn.Write(c.nonce)
		_ = conn.Close()
	}
}

// Errors of once. A time-out alone is no evidence that calls bypass nftables: the node may be busy. It is one where a call to our own
// listener, which needs no rule, is answered promptly.
var (
	errDropped  = fmt.Errorf("the call got no answer in %v, though one without a rule did at once: another program drops it before", checkTimeout)
	errBypassed = errors.New("the call was answered by another program: an eBPF load balancer translates cluster IPs before nftables sees them")
	errNoAnswer = fmt.Errorf("the call got no answer in %v: is the node busy, or does it drop calls to cluster IPs?", checkTimeout)
)

// once connects to the cluster IP, and must reach our own listener.
func (c *checker) once(ctx context.Context) error {
	err := c.greeted(ctx, c.address, checkTimeout)
	silent := errors.Is(err, errSilent)
	if !silent && !errors.Is(err, errNoAnswer) {
		return err
	}
	switch prompt := c.greeted(ctx, c.rule().Listener, checkPrompt) == nil; {
	case prompt && silent: // another program waits for us to speak first
		return errBypassed
	case prompt:
		return errDropped
	}
	return errNoAnswer
}

// errSilent: the connection was accepted, and nothing came.
var errSilent = errors.New("nothing was sent")

// greeted connects to an address, which must send the nonce in time.
func (c *checker) greeted(ctx context.Context, address netip.AddrPort, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	conn, err := c.dial(ctx, address)
	switch {
	case err != nil && timedOut(err):
		return errNoAnswer
	case err != nil:
		return fmt.Errorf("the call did not reach the rule: %w", err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	got := make([]byte, nonceBytes)
	switch n, err := io.ReadFull(conn, got); {
	case n == 0 && timedOut(err):
		return errSilent
	case !bytes.Equal(got, c.nonce):
		return errBypassed
	}
	return nil
}

func timedOut(err error) bool {
	timeout, is := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || is && timeout.Timeout()
}

// settle publishes a result.
func (c *checker) settle(err error) {
	c.mu.Lock()
	before := c.result
	c.result.Undecided = ""
	switch {
	case errors.Is(err, errNoAnswer):
		c.result.Undecided = err.Error()
	case err != nil:
		c.result.Checked, c.result.Bypassed = true, err.Error()
	default:
		c.result.Checked, c.result.Bypassed = true, ""
	}
	after := c.result
	c.mu.Unlock()
	switch {
	case after.Undecided != "":
		if before.Undecided == "" {
			c.log.Warn("the packet check has no result: what it found before counts", zap.Stringer("address", c.address), zap.Error(err))
		}
	case err != nil:
		c.bypassed.Set(1)
		if before.Bypassed == "" {
			c.log.Warn("calls to cluster IPs bypass nftables on this node: takeover has no effect here",
				zap.Stringer("address", c.address), zap.Error(err))
		}
	case before != after:
		c.bypassed.Set(0)
		c.log.Info("packet check passed: nftables sees calls to cluster IPs", zap.Stringer("address", c.address))
	}
}
