package failover_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/failover"
	"github.com/eastway/eastway/internal/sim/simnet"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/transport/mem"
)

// conn is one end of an application's connection: a socket, or simulated.
type conn interface {
	net.Conn
	CloseWrite() error
	SetLinger(sec int) error
}

// ground is what a path stands on: hosts that are simulated in a bubble, or this machine.
type ground interface {
	// listen opens the port of an endpoint.
	listen(t *testing.T) net.Listener
	// unused is an address at which connections are refused.
	unused(t *testing.T) netip.AddrPort
	// service is where a's listener will be.
	service(t *testing.T) netip.AddrPort
	// dial connects an application.
	dial(ctx context.Context, to netip.AddrPort) (conn, error)
	// network is what a site's proxy carries connections over; nil: sockets.
	network(site string) failover.Network
	// tunnels has a site's tunnels run over a transport, or over both. It returns the names of their lanes.
	tunnels(site, over string, cfg *tunnel.Config) []string
}

// simulated is a ground of simulated hosts: one with the applications, one with all endpoints, one for each site's proxy. Its
// transports are "tcp" (TLS and the mux over simulated TCP) and "mem" (sessions in memory), in place of QUIC.
type simulated struct {
	net          *simnet.Network
	mem          *mem.Network
	client, apps *simnet.Process
	sites        map[string]*simnet.Process
}

// simTransports are those of a simulated ground: either alone, and both.
var simTransports = []string{"tcp", "mem", "both"}

const (
	// lan and wan are what a segment takes within a site and between sites, one way.
	lan = 100 * time.Microsecond
	wan = 20 * time.Millisecond
	// wanRate is the line's capacity between sites, in bytes per second.
	wanRate = 8 << 20
)

var (
	siteAddrs = map[string]netip.Addr{
		"a": netip.MustParseAddr("10.1.0.1"), "b": netip.MustParseAddr("10.2.0.1"), "c": netip.MustParseAddr("10.3.0.1"),
	}
	clientAddr, appsAddr = netip.MustParseAddr("10.8.0.1"), netip.MustParseAddr("10.9.0.1")
)

// inBubbles runs f in one bubble for each transport, on a ground of its own.
func inBubbles(t *testing.T, transports []string, f func(t *testing.T, g *simulated, over string)) {
	t.Helper()
	for _, over := range transports {
		t.Run(over, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, g *simulated) { f(t, g, over) })
		})
	}
}

// inBubble runs f in a bubble.
func inBubble(t *testing.T, f func(t *testing.T, g *simulated)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := &simulated{
			net: simnet.New(1, simnet.Path{Latency: lan}), mem: mem.NewNetwork(), sites: make(map[string]*simnet.Process),
		}
		g.client, g.apps = g.net.Host(clientAddr).Start(), g.net.Host(appsAddr).Start()
		for name, addr := range siteAddrs {
			g.sites[name] = g.net.Host(addr).Start()
			for other, to := range siteAddrs {
				if other != name {
					g.net.SetPath(addr, to, simnet.Path{Latency: wan, Rate: wanRate})
				}
			}
		}
		f(t, g)
	})
}

func (g *simulated) listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := g.apps.Listen(0)
	must(t, err)
	return ln
}

func (g *simulated) unused(t *testing.T) netip.AddrPort {
	t.Helper()
	ln := g.listen(t)
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

func (g *simulated) service(*testing.T) netip.AddrPort {
	return netip.AddrPortFrom(siteAddrs["a"], servicePort)
}

func (g *simulated) dial(ctx context.Context, to netip.AddrPort) (conn, error) {
	c, err := g.client.Dial(ctx, to)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (g *simulated) network(site string) failover.Network {
	return simnet.Calls{Process: g.sites[site]}
}

func (g *simulated) tunnels(site, over string, cfg *tunnel.Config) []string {
	cfg.Listen = netip.AddrPortFrom(siteAddrs[site], 443).String()
	var names []string
	if over != "mem" {
		tunnels := simnet.Tunnels{Process: g.sites[site]}
		cfg.Transports = append(cfg.Transports, transport.NewTCP(transport.TCPConfig{Dial: tunnels.Dial, Listen: tunnels.Listen}))
		names = append(names, "tcp")
	}
	if over != "tcp" {
		tr := g.mem.Transport(siteAddrs[site].String())
		tr.Capabilities.Rank = 2 // behind TCP, as QUIC is
		cfg.Transports = append(cfg.Transports, tr)
		names = append(names, "mem")
	}
	return names
}

// silence stops what goes from one site to another on simulated TCP, until it is healed.
func (g *simulated) silence(from, to string) { g.net.Silence(siteAddrs[from], siteAddrs[to]) }

// machine is this machine: loopback sockets of a real kernel, and QUIC.
type machine struct{}

// realTransports are those of a machine: either alone, and both.
var realTransports = []string{"tcp", "quic", "both"}

// onSockets runs f on this machine for each transport.
func onSockets(t *testing.T, f func(t *testing.T, over string)) {
	t.Helper()
	for _, over := range realTransports {
		t.Run(over, func(t *testing.T) {
			t.Parallel()
			f(t, over)
		})
	}
}

func (machine) listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	return ln
}

func (m machine) unused(t *testing.T) netip.AddrPort { t.Helper(); return m.service(t) }

// service is a random loopback address whose service port is free: several test processes may run at a time.
func (machine) service(t *testing.T) netip.AddrPort {
	t.Helper()
	for {
		a := netip.AddrFrom4([4]byte{127, byte(200 + rand.IntN(50)), byte(rand.IntN(256)), byte(1 + rand.IntN(254))})
		at := netip.AddrPortFrom(a, servicePort)
		ln, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at))
		if err == nil {
			must(t, ln.Close())
			return at
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
}

func (machine) dial(ctx context.Context, to netip.AddrPort) (conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp4", to.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

func (machine) network(string) failover.Network { return nil }

func (machine) tunnels(_, over string, cfg *tunnel.Config) []string {
	cfg.Listen = "127.0.0.1:0"
	cfg.DisableTCP, cfg.DisableQUIC = over == "quic", over == "tcp"
	if over == "both" {
		return []string{"tcp", "quic"}
	}
	return []string{over}
}
