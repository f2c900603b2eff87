package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/hashtrie"
)

// fakeNetwork is a Network in memory: connections arrive at once, and nothing is there but what listens.
type fakeNetwork struct {
	mu        sync.Mutex
	listeners map[netip.AddrPort]*fakeListener
	hung      map[netip.AddrPort]bool // swallows connections
}

func newFakeNetwork() *fakeNetwork {
	return &fakeNetwork{listeners: make(map[netip.AddrPort]*fakeListener), hung: make(map[netip.AddrPort]bool)}
}

func (n *fakeNetwork) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	n.mu.Lock()
	ln, hung := n.listeners[to], n.hung[to]
	n.mu.Unlock()
	switch {
	case hung:
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
	case ln == nil:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	up, down := newPipe(), newPipe()
	from := net.TCPAddrFromAddrPort(netip.MustParseAddrPort("10.0.0.1:40000"))
	ours := &fakeConn{in: down, out: up, broken: make(chan struct{}), local: from, remote: ln.Addr()}
	theirs := &fakeConn{in: up, out: down, broken: make(chan struct{}), local: ln.Addr(), remote: from}
	ours.other, theirs.other = theirs, ours
	select {
	case ln.accepts <- theirs:
		return ours, nil
	case <-ln.closed:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (n *fakeNetwork) Listen(_ context.Context, at netip.AddrPort) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[at] != nil {
		return nil, syscall.EADDRINUSE
	}
	ln := &fakeListener{network: n, at: at, accepts: make(chan *fakeConn), closed: make(chan struct{})}
	n.listeners[at] = ln
	return ln, nil
}

type fakeListener struct {
	network *fakeNetwork
	at      netip.AddrPort
	accepts chan *fakeConn
	closed  chan struct{}
	once    sync.Once
}

func (l *fakeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepts:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *fakeListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		delete(l.network.listeners, l.at)
	})
	return nil
}

func (l *fakeListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }

// fakeConn is one end of a connection of a fakeNetwork.
type fakeConn struct {
	in, out       *pipe
	other         *fakeConn
	broken        chan struct{}
	local, remote net.Addr
	once          sync.Once
	linger        int
}

func (c *fakeConn) Read(b []byte) (int, error)  { return c.in.Read(b) }
func (c *fakeConn) Write(b []byte) (int, error) { return c.out.Write(b) }
func (c *fakeConn) CloseWrite() error           { return c.out.end() }
func (c *fakeConn) LocalAddr() net.Addr         { return c.local }
func (c *fakeConn) RemoteAddr() net.Addr        { return c.remote }
func (c *fakeConn) Broken() <-chan struct{}     { return c.broken }

func (c *fakeConn) SetLinger(sec int) error {
	c.linger = sec
	return nil
}

func (c *fakeConn) Close() error {
	c.once.Do(func() {
		if c.linger == 0 {
			c.out.fail(syscall.ECONNRESET)
			close(c.other.broken)
		}
		_ = c.out.end()
		c.in.fail(syscall.ECONNRESET)
	})
	return nil
}

func (c *fakeConn) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (c *fakeConn) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

func (c *fakeConn) SetReadDeadline(t time.Time) error {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.late = !t.IsZero()
	c.in.cond.Broadcast()
	return nil
}

// TestProxyInABubble: a Proxy on a Network of its own uses no socket and no real time.
func TestProxyInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := newFakeNetwork()
		at := netip.MustParseAddrPort
		front, dead, hung, live := at("10.1.0.1:80"), at("10.2.0.1:80"), at("10.2.0.2:80"), at("10.2.0.3:80")
		network.hung[hung] = true
		ports := []discovery.ServicePort{{Port: 80, Protocol: discovery.TCP}}
		svc := &discovery.Service{
			Name: echoName, Ports: ports, Addresses: []netip.Addr{front.Addr()}, Listeners: discovery.ListenersAt(ports, front.Addr()),
			Endpoints: map[uint16][]discovery.Endpoint{80: {endpoint(dead, here), endpoint(hung, beside), endpoint(live, abroad)}},
		}
		p, err := New(Config{
			Cluster: "cn-hangzhou", Locality: here, Network: network, Tunnels: &fakeTunnels{peers: map[string]*fakePeer{}},
			Catalog: newFakeCatalog(&discovery.Snapshot{Services: hashtrie.Of(map[discovery.ServiceName]*discovery.Service{echoName: svc})}),
		})
		if err != nil {
			t.Fatal(err)
		}
		ln, err := network.Listen(t.Context(), live)
		if err != nil {
			t.Fatal(err)
		}
		go serveFake(ln)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		synctest.Wait()

		began := time.Now()
		c, err := network.Dial(t.Context(), front)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "hi"); err != nil {
			t.Fatal(err)
		}
		if err := c.(*fakeConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if took := time.Since(began); err != nil || string(got) != "got hi" || took != dial.LocalStagger {
			t.Errorf("read %q, %v, after %v", got, err, took)
		}

		// A reset goes through, with no reader at its end.
		if c, err = network.Dial(t.Context(), front); err != nil {
			t.Fatal(err)
		}
		bubble.Pass(dial.LocalStagger)
		synctest.Wait()
		_ = c.Close()
		synctest.Wait()
		if n := p.Active(); n != 0 {
			t.Errorf("%d connections after a reset", n)
		}
		_ = ln.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// serveFake answers each connection once it has ended.
func serveFake(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			b, err := io.ReadAll(c)
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(c, "got %s", b)
			_ = c.(*fakeConn).SetLinger(-1)
		}()
	}
}

// unusable is a connection that cannot be half-closed.
type unusable struct{ net.Conn }

type unusableNetwork struct{ *fakeNetwork }

func (n unusableNetwork) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	c, err := n.fakeNetwork.Dial(ctx, to)
	return unusable{c}, err
}

func TestNetworkWithoutHalfClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := unusableNetwork{newFakeNetwork()}
		at := netip.MustParseAddrPort("10.2.0.3:80")
		ln, err := n.Listen(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		accepted := make(chan net.Conn, 1)
		go func() {
			c, _ := ln.Accept()
			accepted <- c
		}()
		c := balance.Candidate{Address: balance.Address{Endpoint: at}, ConnectTimeout: time.Second}
		if err := dial.New(dial.Config{Network: n}).Probe(t.Context(), balance.Key{}, c); err == nil {
			t.Error("a connection that cannot be half-closed was taken")
		}
		if _, err := (<-accepted).Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("it was left open: %v", err)
		}
	})
}
