package takeover

import (
	"context"
	"net"
	"net/netip"
	"syscall"
)

// Env is the network that the agent works in; the zero value is the process's own. Tests give it another namespace.
type Env struct {
	// Do calls f inside of the network namespace; nil calls it as it is. Sockets opened by f stay there.
	Do func(f func() error) error
}

func (e *Env) do(f func() error) error {
	if e.Do == nil {
		return f()
	}
	return e.Do(f)
}

// dial connects to a proxy.
func (e *Env) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return e.dialWith(ctx, &net.Dialer{}, network, address)
}

// dialMarked connects with the mark of the packet check.
func (e *Env) dialMarked(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	return e.dialWith(ctx, &net.Dialer{ControlContext: setMark}, "tcp", address.String())
}

func (e *Env) dialWith(ctx context.Context, d *net.Dialer, network, address string) (conn net.Conn, err error) {
	err = e.do(func() error {
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// listen opens a TCP listener. A second agent on this node may share it if share is set: during an upgrade there are two.
func (e *Env) listen(ctx context.Context, address string, share bool) (l net.Listener, err error) {
	var lc net.ListenConfig
	if share {
		lc.Control = func(_, _ string, raw syscall.RawConn) error { return sharePort(raw) }
	}
	err = e.do(func() error {
		l, err = lc.Listen(ctx, "tcp", address)
		return err
	})
	return l, err
}
