package tunnel

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/eastway/eastway/tunnel/internal/balancer"
)

// network is a link between two nodes: it forwards TCP and UDP to a node and can fall silent, cut, or count flights.
type network struct {
	addr string
	wg   sync.WaitGroup

	mu     sync.Mutex
	target string
	others []string // take turns with target: a load balancer
	silent bool     // nothing passes, nothing is closed
	noUDP  bool
	noTCP  bool
	step   bool // everything waits for release
	queue  [2][]func()
	wake   chan struct{} // closed when the state changes
	conns  map[*net.TCPConn]bool
	dialed map[string]int // TCP connections by where they led
	moved  time.Time
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
		w.set(func() { w.silent, w.step = false, false })
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
	if !w.step {
		for dir := range w.queue {
			for _, deliver := range w.queue[dir] {
				deliver()
			}
			w.queue[dir] = nil
		}
	}
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

// release delivers one flight: all that waits in one direction. It returns how many pieces that were.
func (w *network) release(dir int) int {
	w.mu.Lock()
	batch := w.queue[dir]
	w.queue[dir] = nil
	w.moved = time.Now()
	w.mu.Unlock()
	for _, deliver := range batch {
		deliver()
	}
	return len(batch)
}

// waits: something waits to be released in that direction, and nothing has moved for a while, so both ends wait for the wire.
func (w *network) waits(dir int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue[dir]) > 0 && time.Since(w.moved) > 150*time.Millisecond
}

// pass delivers a piece of data when the state allows it; udp data is dropped where TCP's waits.
func (w *network) pass(ctx context.Context, dir int, udp bool, deliver func()) bool {
	for {
		w.mu.Lock()
		w.moved = time.Now()
		switch {
		case udp && (w.silent || w.noUDP):
			w.mu.Unlock()
			return true
		case w.silent || !udp && w.noTCP:
			wake := w.wake
			w.mu.Unlock()
			select {
			case <-wake:
				continue
			case <-ctx.Done():
				return false
			}
		case w.step:
			w.queue[dir] = append(w.queue[dir], deliver)
			w.mu.Unlock()
			return true
		}
		w.mu.Unlock()
		deliver()
		return true
	}
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
		w.wg.Go(func() { w.copyTCP(ctx, 0, a, b) })
		w.wg.Go(func() { w.copyTCP(ctx, 1, b, a) })
	}
}

func (w *network) copyTCP(ctx context.Context, dir int, from, to *net.TCPConn) {
	defer func() {
		_ = to.CloseWrite()
		_ = from.CloseRead()
	}()
	for {
		buf := make([]byte, 64<<10)
		n, err := from.Read(buf)
		if n > 0 && !w.pass(ctx, dir, false, func() { _, _ = to.Write(buf[:n]) }) {
			return
		}
		if err != nil {
			if !w.pass(ctx, dir, false, func() { _ = to.CloseWrite() }) {
				return
			}
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
	for {
		buf := make([]byte, 2048)
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
				for {
					b := make([]byte, 2048)
					n, err := out.Read(b)
					if err != nil {
						return
					}
					w.pass(ctx, 1, true, func() { _, _ = pc.WriteTo(b[:n], from) })
				}
			})
		}
		w.pass(ctx, 0, true, func() { _, _ = out.Write(buf[:n]) })
	}
}

// ledTo counts the TCP connections that were forwarded to target.
func (w *network) ledTo(target string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dialed[target]
}
