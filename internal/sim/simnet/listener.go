package simnet

import (
	"net"
	"net/netip"
)

// Mode is what becomes of connections that are dialed to a listener.
type Mode int

// Modes of a listener.
const (
	// Accepting is usual.
	Accepting Mode = iota
	// Refusing answers with a reset, as if nothing listened.
	Refusing
	// Dropping answers nothing, as a full backlog or a firewall.
	Dropping
)

// Listener is a net.Listener on a port of a host.
type Listener struct {
	proc    *Process
	at      netip.AddrPort
	mode    Mode
	linger  int // of accepted connections
	queue   []*Conn
	closed  bool
	changed signal
}

// SetMode changes what becomes of connections from now on.
func (l *Listener) SetMode(m Mode) {
	l.proc.host.net.mu.Lock()
	defer l.proc.host.net.mu.Unlock()
	l.mode = m
}

// SetLinger is that of the connections that are accepted: Linux' sockets inherit it.
func (l *Listener) SetLinger(sec int) {
	l.proc.host.net.mu.Lock()
	defer l.proc.host.net.mu.Unlock()
	l.linger = sec
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	n := l.proc.host.net
	n.mu.Lock()
	for len(l.queue) == 0 && !l.closed {
		changed := l.changed.next()
		n.mu.Unlock()
		<-changed
		n.mu.Lock()
	}
	if l.closed {
		n.mu.Unlock()
		return nil, opError("accept", l.at, netip.AddrPort{}, net.ErrClosed)
	}
	c := l.queue[0]
	l.queue = l.queue[1:]
	n.mu.Unlock()
	l.proc.host.turn()
	return c, nil
}

// Close implements net.Listener. Connections that were not accepted are reset.
func (l *Listener) Close() error {
	n := l.proc.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.closed {
		return opError("close", l.at, netip.AddrPort{}, net.ErrClosed)
	}
	l.close()
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }

func (l *Listener) close() {
	if l.closed {
		return
	}
	l.closed = true
	delete(l.proc.host.listeners, l.at.Port())
	for _, c := range l.queue {
		c.linger = 0
		c.close()
	}
	l.queue = nil
	l.changed.wake()
}
