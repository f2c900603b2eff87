package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/internal/sim/simnet"
)

// TestProxyInABubble: a Proxy on a Network of its own uses no socket and no real time.
func TestProxyInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at := netip.MustParseAddrPort
		front, dead, hung, live := at("10.1.0.1:80"), at("10.2.0.1:80"), at("10.2.0.2:80"), at("10.2.0.3:80")
		network := simnet.New(1, simnet.Path{})
		process := func(at netip.AddrPort) *simnet.Process { return network.Host(at.Addr()).Start() }
		proxy, client := process(front), process(at("10.3.0.1:0"))
		process(dead)
		endpoints := make(map[netip.AddrPort]*simnet.Listener)
		for _, at := range []netip.AddrPort{hung, live} {
			ln, err := process(at).Listen(at.Port())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = ln.Close() })
			endpoints[at] = ln
		}
		endpoints[hung].SetMode(simnet.Dropping)
		go answerEach(endpoints[live])
		ports := []discovery.ServicePort{{Port: 80, Protocol: discovery.TCP}}
		svc := &discovery.Service{
			Name: echoName, Ports: ports, Addresses: []netip.Addr{front.Addr()}, Listeners: discovery.ListenersAt(ports, front.Addr()),
			Endpoints: map[uint16][]discovery.Endpoint{80: {endpoint(dead, here), endpoint(hung, beside), endpoint(live, abroad)}},
		}
		p, err := New(Config{
			Cluster: "cn-hangzhou", Locality: here, Network: simnet.Calls{Process: proxy}, Tunnels: &fakeTunnels{peers: map[string]*fakePeer{}},
			Catalog: newFakeCatalog(&discovery.Snapshot{Services: hashtrie.Of(map[discovery.ServiceName]*discovery.Service{echoName: svc})}),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		synctest.Wait()

		began := time.Now()
		c, err := client.Dial(t.Context(), front)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "hi"); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if took := time.Since(began); err != nil || string(got) != "got hi" || took != dial.LocalStagger {
			t.Errorf("read %q, %v, after %v", got, err, took)
		}

		// A reset goes through, with no reader at its end.
		if c, err = client.Dial(t.Context(), front); err != nil {
			t.Fatal(err)
		}
		bubble.Pass(dial.LocalStagger)
		_, _ = c.SetLinger(0), c.Close()
		bubble.Pass(0)
		if n := p.Active(); n != 0 {
			t.Errorf("%d connections after a reset", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// answerEach answers each connection once its other side has ended.
func answerEach(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			if b, err := io.ReadAll(c); err == nil {
				_, _ = fmt.Fprintf(c, "got %s", b)
			}
		}()
	}
}

// unusable is a connection that cannot be half-closed.
type unusable struct{ net.Conn }

type unusableNetwork struct{ simnet.Calls }

func (n unusableNetwork) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	c, err := n.Calls.Dial(ctx, to)
	return unusable{c}, err
}

func TestNetworkWithoutHalfClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at := netip.MustParseAddrPort("10.2.0.3:80")
		n := unusableNetwork{simnet.Calls{Process: simnet.New(1, simnet.Path{}).Host(at.Addr()).Start()}}
		ln, err := n.Listen(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		c := balance.Candidate{Address: balance.Address{Endpoint: at}, ConnectTimeout: time.Second}
		if err := dial.New(dial.Config{Network: n}).Probe(t.Context(), balance.Key{}, c); err == nil {
			t.Error("a connection that cannot be half-closed was taken")
		}
		accepted, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := accepted.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("it was left open: %v", err)
		}
	})
}
