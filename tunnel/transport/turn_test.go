package transport

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// gateOfTurns lets one connection compute at a time.
type gateOfTurns struct {
	openGate

	turn  chan struct{}
	given atomic.Int64
}

func (g *gateOfTurns) Admit(net.Addr, func()) Place { return &turnPlace{gate: g} }

type turnPlace struct {
	openPlace

	gate *gateOfTurns
	mu   sync.Mutex
	held bool
}

func (p *turnPlace) Turn(ctx context.Context) error {
	select {
	case p.gate.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = true
	p.gate.given.Add(1)
	return nil
}

func (p *turnPlace) Yield() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held {
		p.held = false
		<-p.gate.turn
	}
}

// A handshake computes in its turn, and keeps none from others while its client is silent.
func TestTurns(t *testing.T) {
	t.Parallel()
	const silent = 5
	w := newWorld(t)
	for name, tr := range map[string]func() Transport{
		"tcp":  func() Transport { return NewTCP(TCPConfig{}) },
		"quic": func() Transport { return NewQUIC() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gate := &gateOfTurns{turn: make(chan struct{}, 1)}
			var verified atomic.Int64
			cfg := w.b.Auth.ServerConfig()
			verify := cfg.VerifyConnection
			cfg.VerifyConnection = func(cs tls.ConnectionState) error {
				if verified.Add(1); len(gate.turn) == 0 {
					t.Error("a client is verified by one that has no turn")
				}
				return verify(cs)
			}
			server, client := tr(), tr()
			ln, err := server.Listen(t.Context(), "127.0.0.1:0", cfg, gate)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var serving sync.WaitGroup
			accepted := make(chan struct{}, 1)
			serving.Go(func() {
				_ = ln.Serve(ctx, func(_ context.Context, s Session) {
					accepted <- struct{}{}
					<-s.Done()
				})
			})

			stop, reached := make(chan struct{}), make(chan struct{}, silent)
			for range silent {
				slow := w.clientTLS(t)
				slow.VerifyConnection = func(tls.ConnectionState) error {
					reached <- struct{}{}
					<-stop
					return context.Canceled
				}
				serving.Go(func() {
					if _, err := client.Dial(ctx, Target{Peer: "b", Address: ln.Addr().String(), TLS: slow}); err == nil {
						t.Error("a client has a session that it did not want")
					}
				})
			}
			for range silent {
				<-reached
			}
			s, err := client.Dial(ctx, Target{Peer: "b", Address: ln.Addr().String(), TLS: w.clientTLS(t)})
			if err != nil {
				t.Fatal(err)
			}
			<-accepted
			s.Close("")
			if n := gate.given.Load(); n < silent+2 || verified.Load() != 1 {
				t.Errorf("%d turns for %d handshakes, of which %d came to their end", n, silent+1, verified.Load())
			}
			close(stop)
			cancel()
			_ = ln.Close()
			serving.Wait()
			_ = client.Close()
			_ = server.Close()
			if len(gate.turn) != 0 {
				t.Error("a turn was not given back")
			}
		})
	}
}

// A client that does not read the server's answer keeps no turn either.
func TestTurnWhileWriting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hello := clientHello(w.clientTLS(t))
	synctest.Test(t, func(t *testing.T) {
		below := &pipes{make(chan net.Conn), make(chan struct{})}
		gate := &gateOfTurns{turn: make(chan struct{}, 1)}
		listen := func(context.Context, string) (net.Listener, error) { return below, nil }
		ln, err := NewTCP(TCPConfig{Listen: listen}).Listen(t.Context(), "", w.b.Auth.ServerConfig(), gate)
		if err != nil {
			t.Fatal(err)
		}
		var serving sync.WaitGroup
		serving.Go(func() { _ = ln.Serve(t.Context(), func(context.Context, Session) {}) })
		here, there := net.Pipe()
		below.accepted <- there
		if _, err := here.Write(hello); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(gate.turn) != 0 || gate.given.Load() == 0 {
			t.Errorf("%d turns were given, %d are kept", gate.given.Load(), len(gate.turn))
		}
		_ = here.Close()
		_ = ln.Close()
		serving.Wait()
	})
}
