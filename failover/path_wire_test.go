package failover_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
)

// Directions of a wire.
const (
	toTarget = iota
	fromTarget
)

// wire is a network in one process: it forwards TCP and UDP to a node, and can be cut or fall silent after any byte.
type wire struct {
	addr, target string
	wg           sync.WaitGroup

	mu     sync.Mutex
	wake   chan struct{} // closed when the state changes
	conns  map[*net.TCPConn]bool
	silent [2]bool // by direction: nothing is delivered, and nothing is closed
	// left is how many more bytes the target may say before the wire falls silent; negative: any number.
	left int
	// cutAt is how many more bytes from the target any one TCP connection passes on before it is cut, by a FIN or a RST;
	// negative: no cut.
	cutAt  int
	fin    bool
	passed map[*net.TCPConn]int // since cutAt was set
}

func newWire(t *testing.T, target string) *wire {
	t.Helper()
	ln, pc := listenBoth(t)
	w := &wire{
		addr: ln.Addr().String(), target: target, left: -1, cutAt: -1,
		wake: make(chan struct{}), conns: make(map[*net.TCPConn]bool),
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	w.wg.Go(func() { w.forwardTCP(ctx, ln) })
	w.wg.Go(func() { w.forwardUDP(ctx, pc) })
	t.Cleanup(func() {
		cancel()
		_ = ln.Close()
		_ = pc.Close()
		w.mu.Lock()
		for c := range w.conns {
			_ = c.Close()
		}
		w.mu.Unlock()
		w.wg.Wait()
	})
	return w
}

// listenBoth binds TCP and UDP on the same free port.
func listenBoth(t *testing.T) (net.Listener, net.PacketConn) {
	t.Helper()
	var lc net.ListenConfig
	for {
		ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		must(t, err)
		pc, err := lc.ListenPacket(t.Context(), "udp", ln.Addr().String())
		if err == nil {
			return ln, pc
		}
		must(t, ln.Close())
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
}

// set changes the state and wakes what waits for it.
func (w *wire) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.wake)
	w.wake = make(chan struct{})
}

// silence stops directions, or starts them again.
func (w *wire) silence(on bool, directions ...int) {
	w.set(func() {
		w.left = -1
		for _, dir := range directions {
			w.silent[dir] = on
		}
	})
}

// silenceAfter lets the target say n more bytes.
func (w *wire) silenceAfter(n int) { w.set(func() { w.left = n }) }

// cutAfter has the first TCP connection cut that carries n more bytes from the target.
func (w *wire) cutAfter(n int, fin bool) {
	w.set(func() { w.cutAt, w.fin, w.passed = n, fin, make(map[*net.TCPConn]int) })
}

// allow says how many of n bytes may pass now; if none, what to wait for.
func (w *wire) allow(dir, n int) (int, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silent[dir] {
		return 0, w.wake
	}
	if dir == fromTarget && w.left >= 0 {
		n = min(n, w.left)
		if w.left -= n; w.left == 0 {
			w.silent, w.left = [2]bool{true, true}, -1
		}
	}
	return n, w.wake
}

// beforeCut says how many of n bytes a connection passes on, and whether it is cut then.
func (w *wire) beforeCut(from *net.TCPConn, dir, n int) (int, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if dir != fromTarget || w.cutAt < 0 {
		return n, false
	}
	n = min(n, w.cutAt-w.passed[from])
	if w.passed[from] += n; w.passed[from] < w.cutAt {
		return n, false
	}
	w.cutAt = -1
	return n, true
}

func (w *wire) forwardTCP(ctx context.Context, ln net.Listener) {
	for {
		in, err := ln.Accept()
		if err != nil {
			return
		}
		var d net.Dialer
		out, err := d.DialContext(ctx, "tcp", w.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		a, b := in.(*net.TCPConn), out.(*net.TCPConn)
		w.mu.Lock()
		w.conns[a], w.conns[b] = true, true
		w.mu.Unlock()
		w.wg.Go(func() { w.copyTCP(ctx, toTarget, a, b) })
		w.wg.Go(func() { w.copyTCP(ctx, fromTarget, b, a) })
	}
}

func (w *wire) copyTCP(ctx context.Context, dir int, from, to *net.TCPConn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			buf, n = buf[:1], 1 // a silent network holds up the end like anything else
		}
		for data := buf[:n]; len(data) > 0; {
			allowed, wake := w.allow(dir, len(data))
			if allowed == 0 {
				select {
				case <-wake:
					continue
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				_ = to.CloseWrite()
				return
			}
			allowed, cut := w.beforeCut(from, dir, allowed)
			_, _ = to.Write(data[:allowed])
			data = data[allowed:]
			if cut {
				w.cut(from, to)
				return
			}
		}
	}
}

func (w *wire) cut(conns ...*net.TCPConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		if !w.fin {
			_ = c.SetLinger(0)
		}
		_ = c.Close()
		delete(w.conns, c)
	}
}

func (w *wire) forwardUDP(ctx context.Context, pc net.PacketConn) {
	flows := map[string]net.Conn{}
	defer func() {
		for _, c := range flows {
			_ = c.Close()
		}
	}()
	buf := make([]byte, 2048)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		out := flows[from.String()]
		if out == nil {
			var d net.Dialer
			if out, err = d.DialContext(ctx, "udp", w.target); err != nil {
				return
			}
			flows[from.String()] = out
			w.wg.Go(func() { w.answerUDP(pc, from, out) })
		}
		if allowed, _ := w.allow(toTarget, n); allowed == n {
			_, _ = out.Write(buf[:n])
		}
	}
}

// answerUDP forwards one flow's datagrams back; one that may not pass whole is lost.
func (w *wire) answerUDP(pc net.PacketConn, to net.Addr, out net.Conn) {
	buf := make([]byte, 2048)
	for {
		n, err := out.Read(buf)
		if errors.Is(err, syscall.ECONNREFUSED) {
			continue // the target's socket is gone
		}
		if err != nil {
			return
		}
		if allowed, _ := w.allow(fromTarget, n); allowed == n {
			_, _ = pc.WriteTo(buf[:n], to)
		}
	}
}
