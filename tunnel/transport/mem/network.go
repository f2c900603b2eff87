package mem

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/eastway/eastway/tunnel/transport"
)

const (
	// window is how many bytes of a stream may be written and not read.
	window = 256 << 10
	// streams is how many a session may have open.
	streams = 1024
	// firstPort is the first port number for listeners on port 0 and for dialers.
	firstPort = 40000
)

// Network connects the transports of one test.
type Network struct {
	mu        sync.Mutex
	held      map[pair]bool // those between which nothing arrives
	released  *sync.Cond
	deferred  []deferred
	listeners map[string]*listener
	sessions  map[*session]struct{}
	port      int
	born      int // of the newest session or stream
}

// pair is two hosts, the smaller name first; everywhere stands for all hosts.
type pair struct{ a, b string }

//nolint:gochecknoglobals // a constant
var everywhere = pair{}

func pairOf(a, b string) pair { return pair{min(a, b), max(a, b)} }

// deferred reaches the other side once nothing is held between two hosts.
type deferred struct {
	between pair
	reach   func() // the lock is held
}

// NewNetwork has no hosts yet.
func NewNetwork() *Network {
	n := &Network{
		held: make(map[pair]bool), listeners: make(map[string]*listener), sessions: make(map[*session]struct{}), port: firstPort,
	}
	n.released = sync.NewCond(&n.mu)
	return n
}

// Transport is that of one host, an IP address or a name. Its capabilities may be changed before it is used.
func (n *Network) Transport(host string) *Transport {
	return &Transport{Capabilities: transport.Caps{
		Name: "mem", Streams: streams, Lifetime: 1 << 60, DeadAfter: 6 * time.Second, Rank: 1, Lanes: 2, MaxLanes: 4,
	}, network: n, host: host}
}

// Hold makes the network silent, or lets everything through that was held up: nothing arrives and nothing is lost.
func (n *Network) Hold(held bool) { n.hold(everywhere, held) }

// HoldBetween is Hold between two hosts, in both directions.
func (n *Network) HoldBetween(a, b string, held bool) { n.hold(pairOf(a, b), held) }

func (n *Network) hold(p pair, held bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if held {
		n.held[p] = true
		return
	}
	delete(n.held, p)
	var still []deferred
	for _, d := range n.deferred {
		if n.holds(d.between) {
			still = append(still, d)
			continue
		}
		d.reach()
	}
	n.deferred = still
	n.released.Broadcast()
	for _, s := range n.inOrder() {
		s.wake()
	}
}

// holds: nothing arrives between the two hosts. The lock is held.
func (n *Network) holds(p pair) bool { return n.held[everywhere] || n.held[p] }

// Cut ends all sessions, as a reset of each connection does on both sides.
func (n *Network) Cut() { n.cut(everywhere) }

// CutBetween is Cut for the sessions between two hosts.
func (n *Network) CutBetween(a, b string) { n.cut(pairOf(a, b)) }

func (n *Network) cut(p pair) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.inOrder() {
		if p == everywhere || p == s.between {
			s.end(nil)
		}
	}
}

// inOrder are the sessions, oldest first: maps have no order, and runs of a test shall be alike.
func (n *Network) inOrder() []*session {
	return slices.SortedFunc(maps.Keys(n.sessions), func(a, b *session) int { return a.born - b.born })
}

func (n *Network) nextBorn() int {
	n.born++
	return n.born
}

// Open is how many sides of sessions, and how many listeners, have not ended.
func (n *Network) Open() (sessions, listeners int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.sessions), len(n.listeners)
}

// deliver runs f, which notifies the other side, now or when nothing is held between the two hosts. The lock is held.
func (n *Network) deliver(p pair, f func()) {
	if n.holds(p) {
		n.deferred = append(n.deferred, deferred{p, f})
		return
	}
	f()
}

func (n *Network) freePort() int {
	n.port++
	return n.port
}

// address is HOST:PORT.
type address string

func (address) Network() string  { return "mem" }
func (a address) String() string { return string(a) }

// Transport implements transport.Transport for one host of a Network.
type Transport struct {
	// Capabilities are those of its sessions.
	Capabilities transport.Caps

	network *Network
	host    string
}

// Caps implements transport.Transport.
func (t *Transport) Caps() transport.Caps { return t.Capabilities }

// Close implements transport.Transport.
func (t *Transport) Close() error { return nil }

// Listen implements transport.Transport.
func (t *Transport) Listen(_ context.Context, addr string, cfg *tls.Config, gate transport.Gate) (transport.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("mem: listen on %q: %w", addr, err)
	}
	n := t.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if port == "0" {
		addr = net.JoinHostPort(host, strconv.Itoa(n.freePort()))
	}
	if n.listeners[addr] != nil {
		return nil, fmt.Errorf("mem: listen on %s: %w", addr, syscall.EADDRINUSE)
	}
	l := &listener{network: n, caps: t.Capabilities, addr: address(addr), tls: cfg, gate: gate}
	l.cond = sync.NewCond(&n.mu)
	n.listeners[addr] = l
	return l, nil
}

// Dial implements transport.Transport.
func (t *Transport) Dial(ctx context.Context, to transport.Target) (transport.Session, error) {
	n := t.network
	defer context.AfterFunc(ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.released.Broadcast()
	})()
	n.mu.Lock()
	defer n.mu.Unlock()
	host, _, err := net.SplitHostPort(to.Address)
	if err != nil {
		return nil, fmt.Errorf("mem: peer %s at %q: %w", to.Peer, to.Address, err)
	}
	between := pairOf(t.host, host)
	for n.holds(between) && ctx.Err() == nil {
		n.released.Wait()
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("mem: peer %s at %s: %w", to.Peer, to.Address, err)
	}
	l := n.listeners[to.Address]
	if l == nil {
		return nil, fmt.Errorf("mem: peer %s at %s: %w", to.Peer, to.Address, syscall.ECONNREFUSED)
	}
	local := address(net.JoinHostPort(t.host, strconv.Itoa(n.freePort())))
	place := l.gate.Admit(local, func() {}) // a handshake takes no time here
	place.Hello()
	ours, theirs, err := authenticate(to.TLS, l.tls)
	if err != nil { // that of the dialer, who is the first to look
		place.Failed(t.Capabilities.Name, alert())
		place.Leave()
		return nil, fmt.Errorf("mem: handshake with peer %s at %s: %w", to.Peer, to.Address, err)
	}
	a := newSession(n, t.Capabilities, ours, local, l.addr, between)
	b := newSession(n, l.caps, theirs, l.addr, local, between)
	a.peer, b.peer = b, a
	if verify := l.tls.VerifyConnection; verify != nil {
		if err := verify(theirs); err != nil {
			place.Failed(t.Capabilities.Name, err)
			place.Leave()
			a.end(alert())
			b.end(nil)
			return a, nil
		}
	}
	place.Proved()
	l.accepted = append(l.accepted, inbound{session: b, leave: place.Leave})
	l.cond.Signal()
	return a, nil
}

// alert is what a side reads whose certificate was refused by the other.
func alert() error { return &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")} }

// authenticate exchanges certificates; the dialer has verified the listener's.
func authenticate(client, server *tls.Config) (ours, theirs tls.ConnectionState, err error) {
	clientChain, err := chain(client.Certificates, client.GetClientCertificate, &tls.CertificateRequestInfo{})
	if err != nil {
		return ours, theirs, err
	}
	serverChain, err := chain(server.Certificates, server.GetCertificate, &tls.ClientHelloInfo{})
	if err != nil {
		return ours, theirs, err
	}
	ours = tls.ConnectionState{
		Version: tls.VersionTLS13, HandshakeComplete: true, CipherSuite: tls.TLS_AES_128_GCM_SHA256,
		CurveID: tls.X25519MLKEM768, PeerCertificates: serverChain,
	}
	if len(client.NextProtos) > 0 {
		ours.NegotiatedProtocol = client.NextProtos[0]
	}
	theirs = ours
	theirs.PeerCertificates = clientChain
	if client.VerifyConnection != nil {
		err = client.VerifyConnection(ours)
	}
	return ours, theirs, err
}

// chain is what a side presents.
func chain[I any](fixed []tls.Certificate, get func(I) (*tls.Certificate, error), info I) ([]*x509.Certificate, error) {
	var cert *tls.Certificate
	switch {
	case get != nil:
		c, err := get(info)
		if err != nil {
			return nil, err
		}
		cert = c
	case len(fixed) > 0:
		cert = &fixed[0]
	default:
		return nil, nil
	}
	out := make([]*x509.Certificate, 0, len(cert.Certificate))
	for _, der := range cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("mem: parse certificate: %w", err)
		}
		out = append(out, c)
	}
	return out, nil
}

// listener is one address of a host.
type listener struct {
	network  *Network
	caps     transport.Caps
	addr     address
	tls      *tls.Config
	gate     transport.Gate
	cond     *sync.Cond
	accepted []inbound
	closed   bool
}

// inbound is a session that Serve has not taken yet.
type inbound struct {
	session *session
	leave   func()
}

// Addr implements transport.Listener.
func (l *listener) Addr() net.Addr { return l.addr }

// Serve implements transport.Listener.
func (l *listener) Serve(ctx context.Context, handle func(context.Context, transport.Session)) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		in, ok := l.next()
		if !ok {
			return nil
		}
		wg.Go(func() {
			defer in.leave()
			handle(ctx, in.session)
		})
	}
}

func (l *listener) next() (inbound, bool) {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	for len(l.accepted) == 0 && !l.closed {
		l.cond.Wait()
	}
	if len(l.accepted) == 0 {
		return inbound{}, false
	}
	in := l.accepted[0]
	l.accepted = l.accepted[1:]
	return in, true
}

// Close implements transport.Listener. Sessions that were not taken end.
func (l *listener) Close() error {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	delete(l.network.listeners, string(l.addr))
	for _, in := range l.accepted {
		in.leave()
		in.session.end(nil)
		in.session.peer.end(nil)
	}
	l.accepted = nil
	l.cond.Broadcast()
	return nil
}
