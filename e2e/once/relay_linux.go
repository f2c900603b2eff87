package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// mostCut is after how many more bytes a connection is reset that is to be cut, at most.
	mostCut = 100_000
	// datagram is the longest that is relayed, in bytes.
	datagram = 2048
	// quietFlow is after how long without an answer a UDP flow is forgotten.
	quietFlow = 30 * time.Second
)

// relay is the internet in front of one proxy: it carries TCP and UDP to it, falls silent, and cuts.
type relay struct {
	to     netip.AddrPort
	tcp    *net.TCPListener
	udp    *net.UDPConn
	silent atomic.Bool

	mu    sync.Mutex
	woken chan struct{} // closed when silence ends, or the relay
	ended bool
	pipes map[*pipe]struct{}
	flows map[netip.AddrPort]*net.UDPConn
	work  sync.WaitGroup
}

// pipe is one TCP connection through the relay.
type pipe struct {
	a, b *net.TCPConn
	left atomic.Int64 // bytes until it is cut; below 0: it is not
}

func newRelay(from, to netip.AddrPort) (*relay, error) {
	tcp, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(from))
	if err != nil {
		return nil, fmt.Errorf("relay to %v: %w", to, err)
	}
	udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(from))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("relay to %v: %w", to, err), tcp.Close())
	}
	r := &relay{
		to: to, tcp: tcp, udp: udp, woken: make(chan struct{}),
		pipes: make(map[*pipe]struct{}), flows: make(map[netip.AddrPort]*net.UDPConn),
	}
	r.work.Go(r.accept)
	r.work.Go(r.receive)
	return r, nil
}

func (r *relay) close() {
	r.mu.Lock()
	r.ended = true
	if r.silent.Swap(false) {
		close(r.woken)
	}
	_, _ = r.tcp.Close(), r.udp.Close()
	for p := range r.pipes {
		p.reset()
	}
	for _, flow := range r.flows {
		_ = flow.Close()
	}
	r.mu.Unlock()
	r.work.Wait()
}

// setSilent lets no byte through, or all again.
func (r *relay) setSilent(silent bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch was := r.silent.Swap(silent); {
	case silent && !was:
		r.woken = make(chan struct{})
	case !silent && was:
		close(r.woken)
	}
}

// await returns when the relay is not silent.
func (r *relay) await() {
	for r.silent.Load() {
		r.mu.Lock()
		woken := r.woken
		r.mu.Unlock()
		<-woken
	}
}

// cut resets each connection at a byte of its own.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.pipes {
		p.left.Store(1 + rand.Int64N(mostCut))
	}
}

func (r *relay) accept() {
	for {
		a, err := r.tcp.AcceptTCP()
		if err != nil {
			return
		}
		r.work.Go(func() { r.carry(a) })
	}
}

func (r *relay) carry(a *net.TCPConn) {
	r.await()
	b, err := net.DialTCP("tcp4", nil, net.TCPAddrFromAddrPort(r.to))
	if err != nil {
		_ = a.SetLinger(0) // as the proxy itself would refuse it
		_ = a.Close()
		return
	}
	p := &pipe{a: a, b: b}
	p.left.Store(-1)
	r.mu.Lock()
	r.pipes[p] = struct{}{}
	ended := r.ended
	r.mu.Unlock()
	if ended {
		p.reset()
	}
	var both sync.WaitGroup
	both.Go(func() { r.copy(p, b, a) })
	both.Go(func() { r.copy(p, a, b) })
	both.Wait()
	_, _ = a.Close(), b.Close()
	r.mu.Lock()
	delete(r.pipes, p)
	r.mu.Unlock()
}

// copy carries one direction until its end, which it passes on.
func (r *relay) copy(p *pipe, to, from *net.TCPConn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		r.await()
		allowed := n
		if left := p.left.Load(); left >= 0 {
			allowed = int(min(int64(n), p.left.Add(-int64(n))+int64(n)))
		}
		if allowed > 0 {
			if _, err := to.Write(buffer[:allowed]); err != nil {
				p.reset()
				return
			}
		}
		switch {
		case allowed < n:
			p.reset()
			return
		case errors.Is(err, io.EOF):
			_ = to.CloseWrite()
			return
		case err != nil:
			p.reset()
			return
		}
	}
}

func (p *pipe) reset() {
	for _, conn := range []*net.TCPConn{p.a, p.b} {
		_ = conn.SetLinger(0)
		_ = conn.Close()
	}
}

func (r *relay) receive() {
	buffer := make([]byte, datagram)
	for {
		n, from, err := r.udp.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		if r.silent.Load() {
			continue
		}
		if flow := r.flow(from); flow != nil {
			_, _ = flow.Write(buffer[:n]) // UDP: what does not arrive is lost
		}
	}
}

// flow is the relay's socket for one client.
func (r *relay) flow(from netip.AddrPort) *net.UDPConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if flow := r.flows[from]; flow != nil || r.ended {
		return flow
	}
	flow, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(r.to))
	if err != nil {
		return nil
	}
	r.flows[from] = flow
	r.work.Go(func() { r.answer(flow, from) })
	return flow
}

func (r *relay) answer(flow *net.UDPConn, to netip.AddrPort) {
	defer func() {
		r.mu.Lock()
		delete(r.flows, to)
		r.mu.Unlock()
		_ = flow.Close()
	}()
	buffer := make([]byte, datagram)
	for {
		if err := flow.SetReadDeadline(time.Now().Add(quietFlow)); err != nil {
			return
		}
		n, err := flow.Read(buffer)
		if err != nil {
			return // quiet, or the proxy is gone: the client's next datagram makes a new flow
		}
		if !r.silent.Load() {
			_, _ = r.udp.WriteToUDPAddrPort(buffer[:n], to)
		}
	}
}
