package tunnel

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/eastway/eastway/tunnel/internal/balancer"
)

// Directions of a network.
const (
	toTarget = iota
	fromTarget
)

// network is a link between two nodes: it forwards TCP and UDP to a node and can fall silent or be cut.
type network struct {
	addr string
	wg   sync.WaitGroup

	mu     sync.Mutex
	target string
	others []string // take turns with target: a load balancer
	silent bool     // nothing passes, nothing is closed
	noUDP  [2]bool  // by direction
	noTCP  bool
	wake   chan struct{} // closed when the state changes
	conns  map[*net.TCPConn]bool
	dialed map[string]int // TCP connections by where they led
}

func newNetwork(t *testing.T, target string) *network {
	t.Helper()
	ln, pc := balancer.ListenBoth(t)
	w := &network{addr: ln.Addr().String(), target: target, wake: make(chan struct{}), conns: map[*net.TCPConn]bool{}, dialed: map[string]int{}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	w.wg.Go(func() { w.forwardTCP(ctx, ln) })
	w.wg.Go(func() { w.forwardUDP(ctx, pc) })
	t.Cleanup(func() {
		cancel()
		_ = ln.Close()
		_ = pc.Close()
		w.set(func() { w.silent = false })
		w.cut()
		w.wg.Wait()
	})
	return w
}

// set changes the state and wakes what waits for it.
func (w *network) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.wake)
	w.wake = make(chan struct{})
}

// redirect leads new TCP connections and every datagram to another node, as after a restart or behind a load balancer.
// TCP connections that stand stay where they are.
func (w *network) redirect(target string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.target = target
}

// turn is where the next TCP connection leads.
func (w *network) turn() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	target := w.target
	if len(w.others) > 0 {
		w.target = w.others[0]
		w.others = append(w.others[1:], target)
	}
	return target
}

func (w *network) leadsTo() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.target
}

// cut resets every TCP connection.
func (w *network) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	clear(w.conns)
}

// passTCP waits until the state lets TCP's bytes pass; false when ctx ends first.
func (w *network) passTCP(ctx context.Context) bool {
	for {
		w.mu.Lock()
		held, wake := w.silent || w.noTCP, w.wake
		w.mu.Unlock()
		if !held {
			return true
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return false
		}
	}
}

// passesUDP: a datagram passes; others are lost.
func (w *network) passesUDP(dir int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.silent && !w.noUDP[dir]
}

func (w *network) forwardTCP(ctx context.Context, ln net.Listener) {
	for {
		in, err := ln.Accept()
		if err != nil {
			return
		}
		var d net.Dialer
		target := w.turn()
		out, err := d.DialContext(ctx, "tcp", target)
		if err != nil {
			_ = in.Close()
			continue
		}
		a, b := in.(*net.TCPConn), out.(*net.TCPConn)
		w.mu.Lock()
		w.conns[a], w.conns[b] = true, true
		w.dialed[target]++
		w.mu.Unlock()
		w.wg.Go(func() { w.copyTCP(ctx, a, b) })
		w.wg.Go(func() { w.copyTCP(ctx, b, a) })
	}
}

func (w *network) copyTCP(ctx context.Context, from, to *net.TCPConn) {
	defer func() {
		_ = to.CloseWrite()
		_ = from.CloseRead()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if !w.passTCP(ctx) {
			return
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

func (w *network) forwardUDP(ctx context.Context, pc net.PacketConn) {
	flows, target := map[string]net.Conn{}, w.leadsTo()
	forget := func() {
		for _, c := range flows {
			_ = c.Close()
		}
		clear(flows)
	}
	defer forget()
	buf := make([]byte, 2048)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		if now := w.leadsTo(); now != target {
			forget()
			target = now
		}
		out := flows[from.String()]
		if out == nil {
			var d net.Dialer
			if out, err = d.DialContext(ctx, "udp", target); err != nil {
				return
			}
			flows[from.String()] = out
			w.wg.Go(func() {
				b := make([]byte, 2048)
				for {
					n, err := out.Read(b)
					if err != nil {
						return
					}
					if w.passesUDP(fromTarget) {
						_, _ = pc.WriteTo(b[:n], from)
					}
				}
			})
		}
		if w.passesUDP(toTarget) {
			_, _ = out.Write(buf[:n])
		}
	}
}

// ledTo counts the TCP connections that were forwarded to target.
func (w *network) ledTo(target string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dialed[target]
}
