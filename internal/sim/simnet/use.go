package simnet

import (
	"context"
	"net"
	"net/netip"
)

// Calls are the connections of a process with callers and endpoints; it is a failover.Network. What it dials and accepts ends
// with a RST until SetLinger says otherwise, as failover's own sockets do.
type Calls struct{ Process *Process }

// Dial connects to an endpoint.
func (c Calls) Dial(ctx context.Context, endpoint netip.AddrPort) (net.Conn, error) {
	conn, err := c.Process.Dial(ctx, endpoint)
	if err != nil {
		return nil, err // not a nil *Conn in an interface
	}
	err = conn.SetLinger(0)
	return conn, err
}

// Listen opens a port of the host.
func (c Calls) Listen(_ context.Context, at netip.AddrPort) (net.Listener, error) {
	l, err := c.Process.Listen(at.Port())
	if err != nil {
		return nil, err
	}
	l.SetLinger(0)
	return l, nil
}

// tunnelBuffer is what a tunnel's connection takes at a time, in bytes: a write that waits holds crypto/tls' mutex, and while
// a goroutine waits for a mutex no time passes in a bubble.
const tunnelBuffer = 256 << 20

// Tunnels are the connections of a process with other proxies; its methods are those that transport.TCPConfig has fields for.
type Tunnels struct{ Process *Process }

// Dial connects to IP:PORT.
func (t Tunnels) Dial(ctx context.Context, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	conn, err := t.Process.Dial(ctx, to)
	if err != nil {
		return nil, err
	}
	err = conn.SetWriteBuffer(tunnelBuffer)
	return conn, err
}

// Listen opens the port of IP:PORT.
func (t Tunnels) Listen(_ context.Context, addr string) (net.Listener, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	l, err := t.Process.Listen(at.Port())
	if err != nil {
		return nil, err
	}
	return tunnelListener{l}, nil
}

// tunnelListener accepts connections with room for everything.
type tunnelListener struct{ *Listener }

// Accept implements net.Listener.
func (l tunnelListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return c, c.(*Conn).SetWriteBuffer(tunnelBuffer) //nolint:forcetypeassert // a Listener's
}
