package sim

import (
	"context"
	"net"
	"net/netip"

	"github.com/eastway/eastway/internal/sim/simnet"
	"github.com/eastway/eastway/tunnel/transport"
)

// transport is what a proxy has its tunnels over.
func (r *proxyRun) transport() transport.Transport {
	w := r.proxy.w
	if w.plan.Memory {
		return w.memory.Transport(r.proxy.host.Addr().String())
	}
	return transport.NewTCP(transport.TCPConfig{
		Dial:   r.dialTunnel,
		Listen: r.listenForTunnels,
	})
}

func (r *proxyRun) dialTunnel(ctx context.Context, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	c, err := r.proc.Dial(ctx, to)
	if err != nil {
		return nil, err // not a nil *simnet.Conn in an interface
	}
	err = c.SetWriteBuffer(tunnelBuffer)
	return c, err
}

func (r *proxyRun) listenForTunnels(_ context.Context, addr string) (net.Listener, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	l, err := r.proc.Listen(at.Port())
	if err != nil {
		return nil, err
	}
	return tunnelListener{l}, nil
}

// tunnelListener accepts connections with room for everything.
type tunnelListener struct{ *simnet.Listener }

func (l tunnelListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return c, c.(*simnet.Conn).SetWriteBuffer(tunnelBuffer) //nolint:forcetypeassert // simnet's
}

// tunnelBuffer is what a tunnel's connection takes at a time, in bytes.
const tunnelBuffer = 256 << 20
