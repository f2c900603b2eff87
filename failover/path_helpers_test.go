package failover_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/certs/certstest"
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/tunnel"
)

// The path tests carry connections of applications over everything that is real: both clusters' proxies, the exchange of
// catalogs, and a tunnel whose two sides authenticate each other. Most stand on simulated hosts, where faults come at a byte
// and a time, and nothing depends on how fast the machine is; some on real sockets, for what a kernel does.

const (
	// patience is how long a test waits for what must happen; it times nothing. No timer of a simulated path is longer.
	patience    = 5 * time.Minute
	servicePort = 8000
)

var (
	echoName = discovery.ServiceName{Namespace: "shop", Name: "echo"}
	here     = discovery.Locality{Region: "cn-hangzhou", Zone: "cn-hangzhou-h"}
	beside   = discovery.Locality{Region: "cn-hangzhou", Zone: "cn-hangzhou-k"}
	near     = discovery.Locality{Region: "cn-hangzhou", Zone: "cn-hangzhou-i"}
	abroad   = discovery.Locality{Region: "ap-northeast-1", Zone: "ap-northeast-1a"}
)

// site is one cluster's proxy.
type site struct {
	name    string
	node    *tunnel.Node
	proxy   *failover.Proxy
	catalog *discovery.Catalog
	local   discovery.Local // of the catalog
	access  *observer.ObservedLogs
	log     *observer.ObservedLogs
	// over are the transports that its lanes have.
	over []string
	// stopNode ends all tunnels at once, stopProxy what it carries.
	stopNode, stopProxy func()
}

// spec is what a path is made of.
type spec struct {
	on        ground
	transport string
	// locals are a's own endpoints, b and c those of its peers. An empty b gets one that hands its connections to the test;
	// without endpoints there is no c.
	locals, b, c []discovery.Endpoint
	// http makes the service's port HTTP, oldPeer only in cluster a.
	http, oldPeer bool
	// maxStreamsPerPeer is every site's; 0: the default.
	maxStreamsPerPeer int
	// policy is a's for the service, peerPolicy that of b and c.
	policy, peerPolicy *v1alpha1.TrafficPolicySpec
	// hostile takes streams in place of b's proxy, where it is true.
	hostile func(in *tunnel.Incoming) bool
}

// path leads from a's listener to b's endpoint. b is near a, c is far away.
type path struct {
	t       *testing.T
	on      ground
	a, b, c *site
	service netip.AddrPort
	// conns are those that b's endpoint accepted.
	conns chan conn
	// opening holds a token while a connection is opened; in a bubble no time passes while a mutex is waited for.
	opening chan struct{}
}

func newPath(t *testing.T, sp spec) *path {
	t.Helper()
	p := &path{t: t, on: sp.on, conns: make(chan conn, 1), opening: make(chan struct{}, 1), service: sp.on.service(t)}
	if sp.b == nil {
		sp.b = []discovery.Endpoint{ready(listen(t, sp.on, func(c conn) { p.conns <- c }), near)}
	}
	names := []string{"a", "b"}
	if sp.c != nil {
		names = append(names, "c")
	}
	world := certstest.New(t, names...)
	p.b = newSite(t, sp, world["b"], "b", near)
	p.b.follow(world, map[string]string{"a": ""}, sp.exported(sp.b))
	addresses := map[string]string{"b": p.b.node.Addr().String()}
	if sp.c != nil {
		p.c = newSite(t, sp, world["c"], "c", abroad)
		p.c.follow(world, map[string]string{"a": ""}, sp.exported(sp.c))
		addresses["c"] = p.c.node.Addr().String()
	}
	p.a = newSite(t, sp, world["a"], "a", here)
	p.a.follow(world, addresses, &discovery.Service{
		Name: echoName, Ports: ports(sp.http), Listeners: discovery.ListenersAt(ports(sp.http), p.service.Addr()),
		Endpoints: map[uint16][]discovery.Endpoint{servicePort: sp.locals}, Policy: sp.policy,
	})
	await(t, "the path stands", func() bool {
		healthy := 0
		for _, e := range p.a.proxy.Endpoints(echoName) {
			if e.Cluster != "a" && e.Status == status.Healthy {
				healthy++
			}
		}
		return healthy == len(names)-1 && allOpen(p.a.proxy.Listening(), 1) && p.b.follows() && (p.c == nil || p.c.follows()) &&
			p.b.ready("a") && p.a.ready(names[1:]...)
	})
	return p
}

// allOpen: there are so many listeners, and all are open.
func allOpen(all []status.Listener, n int) bool {
	return len(all) == n && !slices.ContainsFunc(all, func(l status.Listener) bool { return l.Vacant || l.Error != "" })
}

func ports(http bool) []discovery.ServicePort {
	return []discovery.ServicePort{{Name: "http", Port: servicePort, Protocol: discovery.TCP, HTTP: http}}
}

func (sp *spec) exported(at []discovery.Endpoint) *discovery.Service {
	return &discovery.Service{
		Name: echoName, Ports: ports(sp.http && !sp.oldPeer), Policy: sp.peerPolicy, Export: &discovery.Export{},
		Endpoints: map[uint16][]discovery.Endpoint{servicePort: at},
	}
}

func newSite(t *testing.T, sp spec, world *certstest.Cluster, name string, at discovery.Locality) *site {
	t.Helper()
	access, lines := observer.New(zapcore.InfoLevel)
	log, events := observer.New(zapcore.InfoLevel)
	s := &site{name: name, catalog: discovery.NewCatalog(nil), access: lines, log: events}
	exchange, err := discovery.NewExchange(discovery.ExchangeConfig{Cluster: name, Catalog: s.catalog})
	must(t, err)
	cfg := tunnel.Config{
		Cluster: name, Replica: name + "1", Region: at.Region, Zone: at.Zone,
		Credentials: world.Auth, Reason: certs.Reason,
		Handle: func(in *tunnel.Incoming) {
			if name == "b" && sp.hostile != nil && sp.hostile(in) {
				return
			}
			s.proxy.ServeStream(failover.IncomingOf(in))
		},
		Messages: func(ctx context.Context, l tunnel.Link, c tunnel.MessageConn) error {
			return exchange.Serve(ctx, l.Peer, l.Replica, c)
		},
		Log: zap.New(log),
	}
	s.over = sp.on.tunnels(name, sp.transport, &cfg)
	s.node, err = tunnel.New(t.Context(), cfg)
	must(t, err)
	s.proxy, err = failover.New(failover.Config{
		Cluster: name, Locality: at, Catalog: s.catalog, Tunnels: failover.TunnelsOf(s.node), Network: sp.on.network(name),
		AccessLog: zap.New(access), Log: zap.New(log), MaxStreamsPerPeer: sp.maxStreamsPerPeer,
	})
	must(t, err)
	s.stopProxy = run(t, s.proxy.Run)
	s.stopNode = run(t, s.node.Run)
	return s
}

// follow gives the site its service and its peers, by name with their addresses.
func (s *site) follow(world map[string]*certstest.Cluster, addresses map[string]string, svc *discovery.Service) {
	local := discovery.Local{
		Services: hashtrie.Of(map[discovery.ServiceName]*discovery.Service{svc.Name: svc}), Peers: map[string]*discovery.Peer{},
	}
	if svc.Policy != nil {
		local.Policies = hashtrie.Of(map[discovery.ServiceName]*v1alpha1.TrafficPolicySpec{svc.Name: svc.Policy})
	}
	var dial []tunnel.Peer
	for name, address := range addresses {
		peer := tunnel.Peer{Name: name}
		if address != "" {
			peer.Addresses = []string{address}
		}
		dial = append(dial, peer)
		local.Peers[name] = &discovery.Peer{Name: name, Spec: v1alpha1.PeerSpec{
			SPIFFEID: world[name].Peer.ID.String(), TrustBundle: world[name].TrustBundle, Addresses: peer.Addresses,
		}}
	}
	s.local = local
	s.catalog.SetLocal(local)
	s.node.SetPeers(dial)
}

// follows: the proxy is in line with the catalog, of which a peer may know already.
func (s *site) follows() bool { return s.proxy.Revision() == s.catalog.Snapshot().Revision }

// ready: every peer is reached over each transport.
func (s *site) ready(peers ...string) bool {
	for _, peer := range peers {
		if !s.node.State(peer).Usable {
			return false
		}
		for _, over := range s.over {
			if s.lanes(peer, over) == 0 {
				return false
			}
		}
	}
	return true
}

// lanes counts the lanes of one transport to a peer.
func (s *site) lanes(peer, transport string) int {
	n := 0
	s.eachLane(func(p string, l status.Lane) {
		if p == peer && l.Transport == transport {
			n++
		}
	})
	return n
}

// streams counts what is open on all lanes.
func (s *site) streams() int {
	n := 0
	s.eachLane(func(_ string, l status.Lane) { n += l.Streams })
	return n
}

func (s *site) eachLane(f func(peer string, l status.Lane)) {
	for _, peer := range s.node.Status() {
		for _, link := range peer.Links {
			for _, lane := range link.Lanes {
				if lane.Role == "lane" {
					f(peer.Peer, lane)
				}
			}
		}
	}
}

// dial connects an application to a's listener.
func (p *path) dial() (conn, error) {
	c, err := p.on.dial(p.t.Context(), p.service)
	if err != nil {
		return nil, err
	}
	p.t.Cleanup(func() { _ = c.Close() })
	bound(c)
	return c, nil
}

// open returns both ends of a new connection: the application's and the endpoint's. Nothing has been sent on it. Any
// goroutine may call it.
func (p *path) open() (client, server conn, err error) {
	p.opening <- struct{}{}
	defer func() { <-p.opening }()
	if client, err = p.dial(); err != nil {
		return nil, nil, err
	}
	select {
	case server = <-p.conns:
		return client, server, nil
	case <-time.After(patience):
		bound(client)
		return nil, nil, fmt.Errorf("no connection has come to b's endpoint: %w%s", readOut(client), p.story(client))
	}
}

// story is what the logs say about a client's connection and about the tunnel, to be read when a test has failed.
func (p *path) story(client conn) string {
	var out strings.Builder
	for _, s := range []*site{p.a, p.b} {
		for _, e := range s.log.All() {
			fmt.Fprintf(&out, "\n%s: %v %s %v", s.name, e.Time.Format(time.StampMilli), e.Message, e.ContextMap())
		}
		for _, line := range s.access.All() {
			if m := line.ContextMap(); m["caller"] == client.LocalAddr().String() {
				fmt.Fprintf(&out, "\n%s: %v %v", s.name, line.Time.Format(time.StampMilli), m)
			}
		}
	}
	return out.String()
}

// connect is open for the test's own goroutine.
func (p *path) connect() (client, server conn) {
	p.t.Helper()
	client, server, err := p.open()
	must(p.t, err)
	return client, server
}

// bound keeps a test from hanging, and the kernel from holding unread megabytes.
func bound(c conn) {
	_ = c.SetDeadline(time.Now().Add(patience))
	if c, ok := c.(*net.TCPConn); ok {
		_ = c.SetReadBuffer(256 << 10)
		_ = c.SetWriteBuffer(256 << 10)
	}
}

// listen is an endpoint: serve is called with each connection, which is closed at the test's end at the latest.
func listen(t *testing.T, on ground, serve func(c conn)) netip.AddrPort {
	t.Helper()
	ln := on.listen(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []conn
	wg.Go(func() {
		for {
			accepted, err := ln.Accept()
			if err != nil {
				return
			}
			c := accepted.(conn)
			bound(c)
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

func ready(a netip.AddrPort, at discovery.Locality) discovery.Endpoint {
	return discovery.Endpoint{Address: a, Locality: at, Ready: true}
}

// run runs until the test ends or stop is called, which returns when it has ended.
func run(t *testing.T, f func(ctx context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run did not return")
		}
	})
	t.Cleanup(stop)
	return stop
}

// await polls a condition that other goroutines bring about.
func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	if !eventually(cond) {
		t.Fatalf("waited %v for: %s", patience, what)
	}
}

// eventually is await for any goroutine.
func eventually(cond func() bool) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patience); !cond(); <-tick.C {
		if time.Now().After(limit) {
			return false
		}
	}
	return true
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// reset ends a connection with a RST.
func reset(c conn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) ||
		err != nil && strings.HasSuffix(err.Error(), "not pollable") // what Go's poller makes of a reset of this moment
}

// transfer writes a message at one end and reads it at the other.
func transfer(from io.Writer, to io.Reader, message string) error {
	if _, err := io.WriteString(from, message); err != nil {
		return err
	}
	got := make([]byte, len(message))
	if _, err := io.ReadFull(to, got); err != nil {
		return err
	}
	if string(got) != message {
		return errors.New("other bytes arrived than were sent: " + strings.ToValidUTF8(string(got), "?"))
	}
	return nil
}
