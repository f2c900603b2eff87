package tunnel

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/certs/certstest"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Lanes of a link over each transport.
var (
	tcpLanes  = transport.NewTCP(transport.TCPConfig{}).Caps().Lanes
	quicLanes = transport.NewQUIC().Caps().Lanes
)

// transports are the ways in which every relay test runs.
var transports = []string{"tcp", "quic", "both"}

// pair is two clusters' proxies with a tunnel between them: over real loopback sockets, or in a bubble.
type pair struct {
	a, b *Node
	// silence stops everything between them, or lets it through again; nil: nothing is there that could.
	silence func(on bool)
}

type pairOption func(a, b *Config)

func withHandler(h func(*Incoming)) pairOption {
	return func(_, b *Config) { b.Handle = h }
}

func withTransport(t string) pairOption {
	return func(a, b *Config) {
		a.DisableQUIC, b.DisableQUIC = t == "tcp", t == "tcp"
		a.DisableTCP, b.DisableTCP = t == "quic", t == "quic"
	}
}

// configs are those of a, which dials, and b, which has the address.
func configs(t *testing.T, opts ...pairOption) (a, b Config) {
	t.Helper()
	worlds := certstest.New(t, "a", "b")
	log := zap.NewNop()
	if testing.Verbose() {
		log = zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel))
	}
	ca := Config{Cluster: "a", Replica: "a1", Credentials: worlds["a"].Auth, Reason: certs.Reason, Log: log.Named("a")}
	cb := Config{Cluster: "b", Replica: "b1", Credentials: worlds["b"].Auth, Reason: certs.Reason, Log: log.Named("b"), Listen: "127.0.0.1:0"}
	for _, o := range opts {
		o(&ca, &cb)
	}
	return ca, cb
}

// newPair starts both and waits until they are connected.
func newPair(t *testing.T, opts ...pairOption) *pair {
	t.Helper()
	ca, cb := configs(t, opts...)
	return joined(t, startNode(t, ca), startNode(t, cb))
}

// newWiredPair is a pair whose a reaches b over a network that can be disturbed.
func newWiredPair(t *testing.T, opts ...pairOption) (*pair, *network) {
	t.Helper()
	ca, cb := configs(t, opts...)
	b := startNode(t, cb)
	w := newNetwork(t, b.Addr().String())
	p := joinedAt(t, startNode(t, ca), b, w.addr)
	p.silence = func(on bool) { w.set(func() { w.silent = on }) }
	return p, w
}

// joined is a pair of nodes that run, once they are connected.
func joined(t *testing.T, a, b *Node) *pair {
	t.Helper()
	return joinedAt(t, a, b, b.Addr().String())
}

// joinedAt is joined for a b that is reached at another address.
func joinedAt(t *testing.T, a, b *Node, addr string) *pair {
	t.Helper()
	p := &pair{a: a, b: b}
	b.SetPeers([]Peer{{Name: "a"}})
	a.SetPeers([]Peer{{Name: "b", Addresses: []string{addr}}})
	p.awaitUsable(t)
	return p
}

func (p *pair) awaitUsable(t *testing.T) {
	t.Helper()
	await(t, "both sides usable", func() bool { return p.a.State("b").Usable && p.b.State("a").Usable })
}

func startNode(t *testing.T, cfg Config) *Node {
	t.Helper()
	n, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	runNode(t, n)
	return n
}

// runNode runs n until the test ends or the returned stop is called.
func runNode(t *testing.T, n *Node) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = n.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

// patience is how long a test waits for what must happen; it times nothing.
const patience = time.Minute

// await polls a condition that other goroutines bring about.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	limit := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(limit) {
			t.Fatalf("waited %v for: %s", patience, what)
		}
		pause := time.NewTimer(5 * time.Millisecond)
		<-pause.C
	}
}

func header() *Header { return &Header{Namespace: "default", Service: "echo", Port: 8000} }

// lanesOf counts a node's lanes over one transport.
func lanesOf(n *Node, over string) int {
	sum := 0
	for _, l := range n.allLinks() {
		lanes, _ := l.laneCounts()
		sum += lanes[over]
	}
	return sum
}

// open opens a stream on a and fails the test when there is none.
func (p *pair) open(t *testing.T) *Stream {
	t.Helper()
	s, err := p.a.Open(t.Context(), "b", header(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Reset("test is over") })
	return s
}

// echo accepts every stream and sends back what comes, half-close included.
func echo(in *Incoming) {
	s, err := in.Accept(&tunnelpb.Answer{})
	if err != nil {
		return
	}
	if _, err := io.Copy(s, s); err != nil {
		s.Reset(fmt.Sprintf("copy: %v", err))
		return
	}
	_ = s.CloseWrite()
}
