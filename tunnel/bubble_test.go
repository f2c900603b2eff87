package tunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/certs/certstest"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/transport/mem"
)

// bubbled is a pair of nodes inside a synctest bubble: a dials b over a network in memory.
type bubbled struct {
	a, b *Node
	net  *mem.Network
}

// inBubble runs f in a bubble, in which time passes only while everything waits, and ends both nodes after it.
func inBubble(t *testing.T, serve func(*Incoming), f func(t *testing.T, p *bubbled)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &bubbled{net: mem.NewNetwork()}
		p.run(t, serve, func(host string) transport.Transport { return p.net.Transport(host) }, f)
	})
}

// run is for the inside of a bubble.
func (p *bubbled) run(t *testing.T, serve func(*Incoming), over func(host string) transport.Transport, f func(*testing.T, *bubbled)) {
	t.Helper()
	trust := certstest.New(t, "a", "b")
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{}, 2)
	start := func(i int, cluster string) *Node {
		host := "10.0.0." + strconv.Itoa(i)
		n, err := New(ctx, Config{
			Cluster: cluster, Replica: cluster + "1", Listen: net.JoinHostPort(host, "443"), Log: zap.NewNop(), Handle: serve,
			Credentials: trust[cluster].Auth, Reason: certs.Reason, Transports: []transport.Transport{over(host)},
		})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_ = n.Run(ctx)
			done <- struct{}{}
		}()
		return n
	}
	p.a, p.b = start(1, "a"), start(2, "b")
	p.b.SetPeers([]Peer{{Name: "a"}})
	p.a.SetPeers([]Peer{{Name: "b", Addresses: []string{p.b.Addr().String()}}})
	bubble.Pass(redialMax)
	if !p.a.State("b").Usable || !p.b.State("a").Usable {
		t.Fatal("no tunnel")
	}
	f(t, p)
	p.net.Hold(false)
	cancel()
	<-done
	<-done
}

// TestLinkOverPipes: TLS and the mux over connections that are no sockets.
func TestLinkOverPipes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		listeners := map[string]*pipeListener{} // all are there before anything is dialed
		over := func(string) transport.Transport {
			return transport.NewTCP(transport.TCPConfig{
				Dial: func(ctx context.Context, addr string) (net.Conn, error) { return listeners[addr].dial(ctx) },
				Listen: func(_ context.Context, addr string) (net.Listener, error) {
					ln := &pipeListener{at: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
					listeners[addr] = ln
					return ln, nil
				},
			})
		}
		p := &bubbled{net: mem.NewNetwork()}
		p.run(t, echo, over, func(t *testing.T, p *bubbled) {
			mustEcho(t, p.open(t))
			bubble.Pass(time.Hour)
			mustEcho(t, p.open(t))
		})
	})
}

// pipeListener gives out ends of net.Pipes.
type pipeListener struct {
	at     string
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case l.conns <- b:
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.closed:
		return nil, syscall.ECONNREFUSED
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(l.at))
}

func (p *bubbled) open(t *testing.T) *Stream {
	t.Helper()
	s, err := p.a.Open(t.Context(), "b", header(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLinkOverMem: silence is suspect after suspectAfter and dead after deadAfter, to the tick; afterwards the link is back.
func TestLinkOverMem(t *testing.T) {
	t.Parallel()
	inBubble(t, echo, func(t *testing.T, p *bubbled) {
		s := p.open(t)
		mustEcho(t, s)
		p.net.Hold(true)
		bubble.Pass(suspectAfter - 3*tick) // a ping was answered a moment before
		if !p.a.State("b").Usable {
			t.Error("suspect too early")
		}
		bubble.Pass(4*tick + controlPingInterval)
		if p.a.State("b").Usable {
			t.Error("not suspect")
		}
		bubble.Pass(deadAfter - suspectAfter)
		if _, err := io.ReadAll(s); !errors.Is(err, ErrReset) {
			t.Errorf("the stream ended with %v", err)
		}
		p.net.Hold(false)
		bubble.Pass(2 * redialMax)
		mustEcho(t, p.open(t))
	})
}
