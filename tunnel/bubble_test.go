package tunnel

import (
	"errors"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/sim/simnet"
	"github.com/eastway/eastway/tunnel/redial"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/transport/mem"
	"github.com/eastway/eastway/tunnel/vitals"
)

// latency of the simulated network, one way.
const latency = 20 * time.Millisecond

// bubbled is a pair inside a synctest bubble, over networks that are simulated: TLS and the mux on connections of a
// simulated host ("tcp"), sessions in memory ("mem"), or both. Time passes only while everything waits.
type bubbled struct {
	*pair

	tcp   *simnet.Network
	mem   *mem.Network
	hosts [2]*simnet.Host
	procs [2]*simnet.Process
	// configs are those of the nodes, in the order of the hosts.
	configs [2]Config
}

// bubbleTransports are the ways in which tests in a bubble run.
var bubbleTransports = []string{"tcp", "mem"}

// inBubble runs f in a bubble on a pair that is connected, and ends both nodes after it.
func inBubble(t *testing.T, over string, opts []pairOption, f func(t *testing.T, p *bubbled)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newBubbled(t, over, opts...)) })
}

// forBubbles is inBubble over each transport.
func forBubbles(t *testing.T, opts []pairOption, f func(t *testing.T, p *bubbled)) {
	t.Helper()
	for _, over := range bubbleTransports {
		t.Run(over, func(t *testing.T) {
			t.Parallel()
			inBubble(t, over, opts, f)
		})
	}
}

func newBubbled(t *testing.T, over string, opts ...pairOption) *bubbled {
	t.Helper()
	p := &bubbled{tcp: simnet.New(1, simnet.Path{Latency: latency}), mem: mem.NewNetwork()}
	ca, cb := configs(t, opts...)
	for i, c := range []*Config{&ca, &cb} {
		p.hosts[i] = p.tcp.Host(netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)}))
		p.procs[i] = p.hosts[i].Start()
		if over != "mem" {
			tunnels := simnet.Tunnels{Process: p.procs[i]}
			c.Transports = append(c.Transports, transport.NewTCP(transport.TCPConfig{Dial: tunnels.Dial, Listen: tunnels.Listen}))
		}
		if over != "tcp" {
			c.Transports = append(c.Transports, p.mem.Transport(p.hosts[i].String()))
		}
	}
	cb.Listen = p.hosts[1].String() + ":443"
	p.configs = [2]Config{ca, cb}
	p.pair = joined(t, startNode(t, ca), startNode(t, cb))
	p.silence = func(on bool) {
		p.silenceTCP(on)
		p.mem.Hold(on)
	}
	t.Cleanup(func() { p.silence(false) })
	return p
}

// silenceTCP stops everything on the simulated hosts' connections, or lets it through again.
func (p *bubbled) silenceTCP(on bool) {
	a, b := p.hosts[0].Addr(), p.hosts[1].Addr()
	if !on {
		p.tcp.HealAll()
		return
	}
	p.tcp.Silence(a, b)
	p.tcp.Silence(b, a)
}

// TestLinkInABubble: silence is suspect after vitals.SuspectAfter and dead after vitals.DeadAfter, to the tick; afterwards the link is back,
// and stays for as long as nothing happens.
func TestLinkInABubble(t *testing.T) {
	t.Parallel()
	forBubbles(t, []pairOption{withHandler(echo)}, func(t *testing.T, p *bubbled) {
		s := p.open(t)
		mustEcho(t, s)
		bubble.Pass(5 * time.Minute)
		mustEcho(t, p.open(t))
		p.silence(true)
		bubble.Pass(vitals.SuspectAfter - 3*tick) // a ping was answered a moment before
		if !p.a.State("b").Usable {
			t.Error("suspect too early")
		}
		bubble.Pass(4*tick + controlPingInterval + 2*latency)
		if p.a.State("b").Usable {
			t.Error("not suspect")
		}
		bubble.Pass(vitals.DeadAfter - vitals.SuspectAfter)
		if _, err := io.ReadAll(s); !errors.Is(err, ErrReset) {
			t.Errorf("the stream ended with %v", err)
		}
		p.silence(false)
		bubble.Pass(2 * redial.Max)
		mustEcho(t, p.open(t))
	})
}

// TestLanesWearOut: a lane that can open no more streams for long is replaced before that, and no call notices.
func TestLanesWearOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := mem.NewNetwork()
		ca, cb := configs(t, func(a, b *Config) { a.Handle, b.Handle = echo, echo })
		for host, c := range map[string]*Config{"10.0.0.1": &ca, "10.0.0.2": &cb} {
			over := network.Transport(host)
			over.Capabilities.Lifetime = 160
			c.Transports = []transport.Transport{over}
		}
		cb.Listen = "10.0.0.2:443"
		p := joined(t, startNode(t, ca), startNode(t, cb))
		for i := range 1000 {
			from, to := p.a, "b"
			if i%2 == 0 {
				from, to = p.b, "a"
			}
			s, err := from.Open(t.Context(), to, header(), nil)
			if err != nil {
				t.Fatalf("call %d: %v", i, err)
			}
			mustEcho(t, s)
			_ = s.Close()
			bubble.Pass(time.Second)
		}
	})
}
