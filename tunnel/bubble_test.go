package tunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"testing"
	"testing/synctest"

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
	stop func()
}

// inBubble runs f in a bubble, in which time passes only while everything waits, and ends both nodes after it.
func inBubble(t *testing.T, serve func(*Incoming), f func(t *testing.T, p *bubbled)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		trust := certstest.New(t, "a", "b")
		p := &bubbled{net: mem.NewNetwork()}
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		done := make(chan struct{}, 2)
		start := func(i int, cluster string) *Node {
			host := "10.0.0." + strconv.Itoa(i)
			n, err := New(ctx, Config{
				Cluster: cluster, Replica: cluster + "1", Listen: net.JoinHostPort(host, "443"), Log: zap.NewNop(), Handle: serve,
				Credentials: trust[cluster].Auth, Reason: certs.Reason, Transports: []transport.Transport{p.net.Transport(host)},
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
	})
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
