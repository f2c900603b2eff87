package simnet

import (
	"context"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// synRetries are the pauses before a SYN is sent again (Linux: net.ipv4.tcp_syn_retries of 6, first 1 s).
//
//nolint:gochecknoglobals // a constant
var synRetries = []time.Duration{
	time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, 64 * time.Second,
}

// answer to a SYN.
type answer int

const (
	unanswered answer = iota
	refused
	connected
)

// Dial connects to an address, from an ephemeral port.
func (p *Process) Dial(ctx context.Context, to netip.AddrPort) (*Conn, error) {
	n := p.host.net
	n.mu.Lock()
	from, dead := netip.AddrPortFrom(p.host.addr, p.host.port()), p.dead
	n.mu.Unlock()
	if dead {
		return nil, opError("dial", from, to, net.ErrClosed)
	}
	for _, retry := range synRetries {
		began := time.Now()
		c, a, err := p.syn(ctx, from, to)
		switch {
		case err != nil:
			return nil, opError("dial", from, to, err)
		case a == connected:
			p.host.turn()
			return c, nil
		case a == refused:
			return nil, opError("dial", from, to, os.NewSyscallError("connect", syscall.ECONNREFUSED))
		}
		if err := sleep(ctx, retry-time.Since(began)); err != nil {
			return nil, opError("dial", from, to, err)
		}
	}
	return nil, opError("dial", from, to, os.NewSyscallError("connect", syscall.ETIMEDOUT))
}

// syn sends one SYN and waits for what comes of it.
func (p *Process) syn(ctx context.Context, from, to netip.AddrPort) (*Conn, answer, error) {
	n := p.host.net
	n.mu.Lock()
	there := time.Until(n.arrival(from.Addr(), to.Addr(), 0))
	n.mu.Unlock()
	if err := sleep(ctx, there); err != nil {
		return nil, unanswered, err
	}
	n.mu.Lock()
	a, back := n.knock(from, to), time.Until(n.arrival(to.Addr(), from.Addr(), 0))
	n.mu.Unlock()
	if a == unanswered {
		return nil, a, nil
	}
	if err := sleep(ctx, back); err != nil {
		return nil, unanswered, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case p.dead:
		return nil, unanswered, net.ErrClosed
	case !n.reaches(to.Addr(), from.Addr()):
		return nil, unanswered, nil
	case a == refused:
		return nil, a, nil
	}
	if a = n.knock(from, to); a != connected { // the listener has changed meanwhile
		return nil, a, nil
	}
	l := n.hosts[to.Addr()].listeners[to.Port()]
	c := n.connect(p, l.proc, from, to)
	c.peer.linger = l.linger
	l.queue = append(l.queue, c.peer)
	l.changed.wake()
	return c, connected, nil
}

// knock is what a SYN meets that arrives now.
func (n *Network) knock(from, to netip.AddrPort) answer {
	if !n.reaches(from.Addr(), to.Addr()) {
		return unanswered
	}
	l := n.hosts[to.Addr()].listeners[to.Port()]
	switch {
	case l == nil || l.mode == Refusing:
		return refused
	case l.mode == Dropping || len(l.queue) >= backlog:
		return unanswered
	}
	return connected
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
