// Package balancer is a load balancer in one process, for tests of connections that outlive a network path.
package balancer

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// Balancer leads each UDP flow (a dialer's address) to one of its targets, and can forget the flows that it has. TCP goes
// to the first target and is never forgotten.
type Balancer struct {
	// Addr is where it listens, on TCP and UDP.
	Addr    string
	targets []string
	wg      sync.WaitGroup
	ctx     context.Context
	udp     net.PacketConn

	mu    sync.Mutex
	turn  func(flow int, from net.Addr) (target int) // flow counts from the start, and anew after Forget; below 0: nowhere
	count int
	flows map[string]*flow
	lose  int // one datagram of so many gets lost; 0: none
	seen  int
	conns map[io.Closer]bool
}

// flow is one dialer's address as the balancer knows it. Without a way out it is dead for good.
type flow struct{ out net.Conn }

// datagram is more than the bytes of any packet that is forwarded.
const datagram = 2048

// ListenBoth listens on the same free port of TCP and UDP. A port that is free for TCP may be taken for UDP, so it tries a few.
func ListenBoth(t *testing.T) (net.Listener, net.PacketConn) {
	t.Helper()
	var lc net.ListenConfig
	var err error
	for range 10 {
		ln, lerr := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if lerr != nil {
			t.Fatal(lerr)
		}
		var pc net.PacketConn
		if pc, err = lc.ListenPacket(t.Context(), "udp", ln.Addr().String()); err == nil {
			return ln, pc
		}
		_ = ln.Close()
	}
	t.Fatal(err)
	return nil, nil
}

// New starts one that ends with the test.
func New(t *testing.T, targets ...string) *Balancer {
	t.Helper()
	ln, pc := ListenBoth(t)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	b := &Balancer{
		Addr: ln.Addr().String(), targets: targets, ctx: ctx, udp: pc,
		turn: func(int, net.Addr) int { return 0 }, flows: map[string]*flow{}, conns: map[io.Closer]bool{},
	}
	b.wg.Go(func() { b.forwardTCP(ln) })
	b.wg.Go(b.forwardUDP)
	t.Cleanup(func() {
		cancel()
		_ = ln.Close()
		_ = pc.Close()
		b.Forget(func(int, net.Addr) int { return -1 })
		b.mu.Lock()
		for c := range b.conns {
			_ = c.Close()
		}
		b.mu.Unlock()
		b.wg.Wait()
	})
	return b
}

// Forget drops all flows: nothing of them passes any more, in either direction. New ones take turns.
func (b *Balancer) Forget(turn func(flow int, from net.Addr) (target int)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.flows {
		if f.out != nil {
			_ = f.out.Close()
			f.out = nil
		}
	}
	b.turn, b.count = turn, 0
}

// Lose has one datagram of so many get lost; 0: none.
func (b *Balancer) Lose(oneOf int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lose = oneOf
}

// lost decides for each datagram whether it gets lost.
func (b *Balancer) lost() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen++
	return b.lose > 0 && b.seen%b.lose == 0
}

// out is where a datagram of from goes; nil: nowhere.
func (b *Balancer) out(from net.Addr) net.Conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f := b.flows[from.String()]; f != nil {
		return f.out
	}
	f := &flow{}
	b.flows[from.String()] = f
	target := b.turn(b.count, from)
	b.count++
	if target < 0 || b.ctx.Err() != nil {
		return nil
	}
	var d net.Dialer
	c, err := d.DialContext(b.ctx, "udp", b.targets[target])
	if err != nil {
		return nil
	}
	f.out = c
	b.wg.Go(func() {
		buf := make([]byte, datagram)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if !b.lost() {
				_, _ = b.udp.WriteTo(buf[:n], from)
			}
		}
	})
	return c
}

func (b *Balancer) forwardUDP() {
	buf := make([]byte, datagram)
	for {
		n, from, err := b.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		if c := b.out(from); c != nil && !b.lost() {
			_, _ = c.Write(buf[:n])
		}
	}
}

func (b *Balancer) forwardTCP(ln net.Listener) {
	for {
		in, err := ln.Accept()
		if err != nil {
			return
		}
		var d net.Dialer
		out, err := d.DialContext(b.ctx, "tcp", b.targets[0])
		if err != nil {
			_ = in.Close()
			continue
		}
		b.mu.Lock()
		b.conns[in], b.conns[out] = true, true
		b.mu.Unlock()
		relay := func(from, to net.Conn) {
			_, _ = io.Copy(to, from)
			_ = to.Close()
		}
		b.wg.Go(func() { relay(in, out) })
		b.wg.Go(func() { relay(out, in) })
	}
}
