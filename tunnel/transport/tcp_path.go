package transport

import (
	"cmp"
	"context"
	"net"
	"sync"
	"syscall"
	"time"
)

type dialFunc func(ctx context.Context, addr string) (net.Conn, error)

// dialAnyMTU dials with segments as large as the interface allows, and, where a handshake stalls on them, with small ones beside it.
// The first that is authenticated is used. The kernel's own probing (net.ipv4.tcp_mtu_probing) is off by default, and cannot be set for
// one socket.
func (t *TCP) dialAnyMTU(ctx context.Context, to Target) (Session, error) {
	if t.narrow.has(to.Address, time.Now()) {
		return handshake(ctx, to, dialNarrow, nil)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results, running := make(chan dialed, 2), 0
	try := func(narrow bool, dial dialFunc, connected func()) {
		running++
		go func() {
			sess, err := handshake(ctx, to, dial, connected)
			results <- dialed{narrow, sess, err}
		}()
	}
	stands := make(chan struct{})
	try(false, dialWide, func() { close(stands) })
	connected, stalled := (<-chan struct{})(stands), (<-chan time.Time)(nil)
	var won dialed
	var failed error // the first
	for running > 0 {
		select {
		case <-connected:
			connected, stalled = nil, time.After(narrowAfter)
		case <-stalled:
			stalled = nil
			try(true, dialNarrow, nil)
		case d := <-results:
			running--
			switch {
			case d.err != nil:
				failed = cmp.Or(failed, d.err)
			case won.sess != nil:
				d.sess.Close("not needed")
			default:
				won = d
				cancel() // the other one
			}
		}
	}
	if won.sess == nil {
		return nil, failed
	}
	if won.narrow {
		t.narrow.note(to.Address, time.Now())
	}
	return won.sess, nil
}

type dialed struct {
	narrow bool
	sess   Session
	err    error
}

func dialWide(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Control: setLaneOptions}
	return d.DialContext(ctx, "tcp", addr)
}

// dialNarrow advertises the segment size too, so it holds in both directions.
func dialNarrow(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Control: func(network, address string, c syscall.RawConn) error {
		if err := setLaneOptions(network, address, c); err != nil {
			return err
		}
		return setSegmentSize(c, narrowMSS)
	}}
	return d.DialContext(ctx, "tcp", addr)
}

// narrowPaths are the addresses at which only small segments had an answer, with when that was last found out. The zero value is empty;
// it holds at most the addresses that are dialed.
type narrowPaths struct {
	mu    sync.Mutex
	since map[string]time.Time
}

func (p *narrowPaths) has(addr string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	since, ok := p.since[addr]
	if ok && now.Sub(since) >= narrowFor {
		delete(p.since, addr)
		return false
	}
	return ok
}

func (p *narrowPaths) note(addr string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since == nil {
		p.since = make(map[string]time.Time)
	}
	for other, since := range p.since {
		if now.Sub(since) >= narrowFor {
			delete(p.since, other)
		}
	}
	p.since[addr] = now
}
