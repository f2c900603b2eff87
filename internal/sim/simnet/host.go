package simnet

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"
)

// firstPort is the first ephemeral port.
const firstPort = 32768

// Host is one machine with one address.
type Host struct {
	net  *Network
	addr netip.Addr

	nextPort  uint16
	listeners map[uint16]*Listener
	off       bool // says nothing, hears nothing

	paused time.Time     // its processes do nothing until then
	slow   time.Duration // longest extra time of each call
}

// Addr is the host's address.
func (h *Host) Addr() netip.Addr { return h.addr }

// Pause has the host's processes get and send nothing for so long. Their calls do not wait for it: a goroutine that sleeps
// while another one waits for its mutex would stop virtual time.
func (h *Host) Pause(d time.Duration) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.paused = time.Now().Add(d)
}

// Awake is when the host goes on: now, or when its pause is over.
func (h *Host) Awake() time.Time {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if now := time.Now(); now.After(h.paused) {
		return now
	}
	return h.paused
}

// Slow has everything that the host's processes get and send take up to d longer; 0 ends that.
func (h *Host) Slow(d time.Duration) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.slow = d
}

// Vanish takes the host off the network without a word, as a power failure does. The caller ends its processes:
// they reach nothing any more.
func (h *Host) Vanish() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.off = true
	for _, c := range h.net.sorted(func(c *Conn) bool { return c.proc.host == h }) {
		c.out.drop()
		c.vanish()
	}
	for _, l := range h.listening() {
		l.close()
	}
	h.net.watchIdleHost(h.addr)
}

// Return puts a host that had vanished back on the network.
func (h *Host) Return() {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.off = false
	h.net.resume()
}

// listening are the host's listeners, by port.
func (h *Host) listening() []*Listener {
	all := make([]*Listener, 0, len(h.listeners))
	for _, port := range slices.Sorted(maps.Keys(h.listeners)) {
		all = append(all, h.listeners[port])
	}
	return all
}

// Start starts a process.
func (h *Host) Start() *Process { return &Process{host: h} }

// port is a free ephemeral port.
func (h *Host) port() uint16 {
	h.nextPort++
	if h.nextPort < firstPort {
		h.nextPort = firstPort
	}
	return h.nextPort
}

// turn lets pass what the host's load or pause costs a call. The lock is not held.
func (h *Host) turn() {
	h.net.mu.Lock()
	d := h.delay()
	h.net.mu.Unlock()
	if d > 0 {
		<-time.After(d)
	}
}

// delay is what the host's load or pause costs a call now.
func (h *Host) delay() time.Duration {
	d := max(time.Until(h.paused), 0)
	if h.slow > 0 {
		d += time.Duration(h.net.rng.Int64N(int64(h.slow)))
	}
	return d
}

// Process is what listens and dials on a host, until it is killed.
type Process struct {
	host *Host
	dead bool
}

// Host is where the process runs.
func (p *Process) Host() *Host { return p.host }

// Kill ends the process as kill -9 does. The kernel closes what it held; whatever its goroutines still try fails.
func (p *Process) Kill() {
	n := p.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	p.dead = true
	for _, l := range p.host.listening() {
		if l.proc == p {
			l.close()
		}
	}
	for _, c := range n.sorted(func(c *Conn) bool { return c.proc == p }) {
		c.close()
	}
}

// Listen opens a port of the host.
func (p *Process) Listen(port uint16) (*Listener, error) {
	h := p.host
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if port == 0 {
		port = h.port()
	}
	at := netip.AddrPortFrom(h.addr, port)
	switch {
	case p.dead || h.off:
		return nil, opError("listen", at, netip.AddrPort{}, net.ErrClosed)
	case h.listeners[port] != nil:
		return nil, opError("listen", at, netip.AddrPort{}, os.NewSyscallError("bind", syscall.EADDRINUSE))
	}
	l := &Listener{proc: p, at: at, linger: -1, changed: newSignal()}
	h.listeners[port] = l
	return l, nil
}

func opError(op string, local, remote netip.AddrPort, err error) error {
	e := &net.OpError{Op: op, Net: "tcp", Source: net.TCPAddrFromAddrPort(local), Err: err}
	if remote.IsValid() {
		e.Addr = net.TCPAddrFromAddrPort(remote)
	}
	return e
}

// String is the host's address.
func (h *Host) String() string { return fmt.Sprint(h.addr) }
