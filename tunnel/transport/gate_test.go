package transport

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/internal/bubble"
)

// gateOfOne does something with a connection when it reaches a step.
type gateOfOne struct {
	openGate
	openPlace

	step   string
	end    func()
	failed chan error
	left   chan struct{}
}

func newGateOfOne() *gateOfOne {
	return &gateOfOne{failed: make(chan error, 1), left: make(chan struct{})}
}

func (g *gateOfOne) Admit(_ net.Addr, end func()) Place {
	g.end = end
	return g
}

func (g *gateOfOne) reached(step string) {
	if g.step == step {
		g.end()
	}
}

func (g *gateOfOne) Hello()                     { g.reached("hello") }
func (g *gateOfOne) Proved()                    { g.reached("proved") }
func (g *gateOfOne) Failed(_ string, err error) { g.failed <- err }
func (g *gateOfOne) Leave()                     { close(g.left) }

// A connection that loses its place ends, however far its handshake is, and gives the place back once.
func TestEvicted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, tr := range map[string]func() Transport{
		"tcp":  func() Transport { return NewTCP(TCPConfig{}) },
		"quic": func() Transport { return NewQUIC() },
	} {
		for _, step := range []string{"hello", "proved", "handled"} {
			t.Run(name+" "+step, func(t *testing.T) {
				t.Parallel()
				gate := newGateOfOne()
				gate.step = step
				server, client := tr(), tr()
				ln, err := server.Listen(t.Context(), "127.0.0.1:0", w.b.Auth.ServerConfig(), gate)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var serving sync.WaitGroup
				serving.Go(func() {
					_ = ln.Serve(ctx, func(_ context.Context, s Session) {
						gate.reached("handled")
						<-s.Done()
					})
				})
				s, err := client.Dial(t.Context(), Target{Peer: "b", Address: ln.Addr().String(), TLS: w.clientTLS(t)})
				switch {
				case err == nil && step == "hello":
					t.Error("a handshake succeeded that had no place any more")
				case err == nil:
					<-s.Done()
				}
				<-gate.left
				cancel()
				_ = ln.Close()
				serving.Wait()
				_ = client.Close()
				_ = server.Close()
			})
		}
	}
}

// pipes is a listener whose connections are pipes.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// clientHello is how a client begins.
func clientHello(cfg *tls.Config) []byte {
	here, there := net.Pipe()
	defer there.Close()
	go func() {
		defer here.Close()
		_ = tls.Client(here, cfg).Handshake()
	}()
	hello := make([]byte, 16<<10)
	n, _ := there.Read(hello)
	return hello[:n]
}

// A ClientHello has to be complete in its time, and the handshake in its own.
func TestHandshakeTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hello := clientHello(w.clientTLS(t))
	for _, tt := range []struct {
		name   string
		send   func(c net.Conn)
		after  time.Duration
		reason string
	}{
		{"silent", func(net.Conn) {}, clientHelloTimeout, "no_client_hello"},
		{"a load balancer's health check", func(c net.Conn) { _ = c.Close() }, 0, "no_byte"},
		{"cut off in its first record", func(c net.Conn) {
			_, _ = c.Write(hello[:3])
			_ = c.Close()
		}, 0, ""},
		{"slow", func(c net.Conn) {
			for _, b := range hello {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				<-time.After(10 * time.Millisecond)
			}
		}, clientHelloTimeout, "no_client_hello"},
		{"silent from then on", func(c net.Conn) {
			if _, err := c.Write(hello); err == nil {
				_, _ = io.Copy(io.Discard, c)
			}
		}, HandshakeTimeout, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				below := &pipes{make(chan net.Conn), make(chan struct{})}
				gate := newGateOfOne()
				listen := func(context.Context, string) (net.Listener, error) { return below, nil }
				ln, err := NewTCP(TCPConfig{Listen: listen}).Listen(t.Context(), "", w.b.Auth.ServerConfig(), gate)
				if err != nil {
					t.Fatal(err)
				}
				var serving sync.WaitGroup
				serving.Go(func() { _ = ln.Serve(t.Context(), func(context.Context, Session) {}) })
				here, there := net.Pipe()
				below.accepted <- there
				synctest.Wait() // a pipe that is closed takes no deadline, which a socket does
				serving.Go(func() { tt.send(here) })
				if tt.after > 0 {
					bubble.Pass(tt.after - time.Millisecond)
					select {
					case err := <-gate.failed:
						t.Errorf("ended too early: %v", err)
					default:
					}
				}
				bubble.Pass(2 * time.Millisecond)
				select {
				case err := <-gate.failed:
					if got := ReasonOf(err); got != tt.reason {
						t.Errorf("ended because of %v, reason %q, want %q", err, got, tt.reason)
					}
				default:
					t.Error("not ended in time")
				}
				_ = ln.Close()
				_ = here.Close()
				serving.Wait()
			})
		})
	}
}
