package failover

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"syscall"

	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/health"
	"github.com/eastway/eastway/failover/listen"
	"github.com/eastway/eastway/failover/originate"
	"github.com/eastway/eastway/internal/descriptors"
	"github.com/eastway/eastway/internal/relay"
	"github.com/eastway/eastway/internal/shortage"
)

// Network is where callers connect and endpoints are dialed. Its connections offer, beside net.Conn, the methods
// CloseWrite() error and SetLinger(seconds int) error with the meaning that they have for *net.TCPConn, and optionally
// Broken() <-chan struct{}, closed when the other side resets (see relay.Conn). A dial's errors are judged as those of package net: what
// wraps syscall.ECONNREFUSED is a refusal, a net.Error with Timeout a timeout.
type Network interface {
	dial.Network
	listen.Network
}

// host is the Network of this host.
type host struct {
	dialer   net.Dialer
	listener net.ListenConfig
}

// checkBy connects for health checks.
func checkBy(d *dial.Dialer) health.Dial {
	return func(ctx context.Context, e health.Endpoint) (net.Conn, error) {
		to := originate.To{TLS: e.TLS, Address: e.Address, Host: e.Host}
		switch {
		case e.HTTP2:
			to.ALPN = originate.HTTP2
		case e.HTTP1:
			to.ALPN = originate.HTTP1
		}
		return d.Local(ctx, to, e.Proxied)
	}
}

func newHost(gate descriptors.Gate) *host {
	control := func(network, address string, raw syscall.RawConn) error {
		return cmp.Or(gate.Control(network, address, raw), relay.ResetOnClose(network, address, raw))
	}
	h := &host{
		dialer:   net.Dialer{KeepAlive: -1, Control: control}, // the relay sets keepalives
		listener: net.ListenConfig{Control: relay.ResetOnClose},
	}
	h.dialer.SetMultipathTCP(false)
	h.listener.SetMultipathTCP(false) // a reset of one subflow is not a reset
	return h
}

func (h *host) Dial(ctx context.Context, endpoint netip.AddrPort) (net.Conn, error) {
	c, err := h.dialer.DialContext(ctx, "tcp", endpoint.String())
	return c, shortage.NoSource(ctx, endpoint, err)
}

func (h *host) Listen(ctx context.Context, at netip.AddrPort) (net.Listener, error) {
	return h.listener.Listen(ctx, "tcp", at.String())
}
