package hostile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zapcore"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/certs/certstest"
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/internal/eventlog"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/internal/openloop"
	"github.com/eastway/eastway/tunnel"
)

// The clusters: the victim, peers of it that do no harm, of which guest comes and goes, and one that does.
const (
	victim = "b"
	good   = "good"
	guest  = "guest"
	evil   = "evil"
)

// Services of the victim and of the good peer; the other one calls them.
var (
	cart  = discovery.ServiceName{Namespace: "shop", Name: "cart"}
	stock = discovery.ServiceName{Namespace: "shop", Name: "stock"}
)

// site is a cluster with one proxy.
type site struct {
	name    string
	node    *tunnel.Node
	catalog *discovery.Catalog
	proxy   *failover.Proxy
	local   discovery.Local

	log, access *record
	metrics     *prometheus.Registry
	stop        func()
}

// config is what a site is made of beyond its name.
type config struct {
	node  func(*tunnel.Config)
	proxy func(*failover.Config)
	// services are the victim's beside those that all worlds have.
	services map[discovery.ServiceName]*discovery.Service
	// proxies are the addresses of its pods.
	proxies []netip.Addr
	// mark is in the lines of the access log that are counted; empty: none.
	mark string
}

func startSite(t *testing.T, worlds map[string]*certstest.Cluster, name string, with *config) (s *site) {
	t.Helper()
	as(t.Context(), name, func() { s = newSite(t, worlds, name, with) })
	return s
}

func newSite(t *testing.T, worlds map[string]*certstest.Cluster, name string, with *config) *site {
	t.Helper()
	s := &site{name: name, catalog: discovery.NewCatalog(nil), log: &record{}, access: &record{mark: with.mark}, metrics: prometheus.NewRegistry()}
	log := eventlog.New(s.log, zapcore.InfoLevel)
	exchange, err := discovery.NewExchange(discovery.ExchangeConfig{Cluster: name, Catalog: s.catalog, Log: log, Registerer: s.metrics})
	if err != nil {
		t.Fatal(err)
	}
	nc := tunnel.Config{
		Cluster: name, Credentials: worlds[name].Auth, Reason: certs.Reason, Listen: "127.0.0.1:0", Log: log, Metrics: s.metrics,
		Handle: func(in *tunnel.Incoming) { s.proxy.ServeStream(failover.IncomingOf(in)) },
		Messages: func(ctx context.Context, l tunnel.Link, c tunnel.MessageConn) error {
			return exchange.Serve(ctx, l.Peer, l.Replica, c)
		},
	}
	if with.node != nil {
		with.node(&nc)
	}
	if s.node, err = tunnel.New(t.Context(), nc); err != nil {
		t.Fatal(err)
	}
	pc := failover.Config{
		Cluster: name, Catalog: s.catalog, Tunnels: failover.TunnelsOf(s.node), Guard: &discovery.Guard{AllowLoopback: true},
		Log: log, AccessLog: access.NewLog(s.access), Metrics: s.metrics,
	}
	if with.proxy != nil {
		with.proxy(&pc)
	}
	if s.proxy, err = failover.New(pc); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- s.node.Run(ctx) }()
	go func() { ended <- s.proxy.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, <-ended); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

// set changes what a cluster has, and waits until its proxy has taken it in.
func (s *site) set(t *testing.T, change func(*discovery.Local)) {
	t.Helper()
	change(&s.local)
	s.catalog.SetLocal(s.local)
	revision := s.catalog.Snapshot().Revision
	await(t, "the proxy of "+s.name+" has taken in its services", func() bool { return s.proxy.Revision() >= revision })
	for _, l := range s.proxy.Listening() {
		if l.Error != "" {
			t.Fatal(l.Error)
		}
	}
}

// problems are what status shows.
func (s *site) problems() []string {
	return append(append(s.node.Problems(), s.proxy.Problems()...), s.catalog.Snapshot().Problems()...)
}

// world is a victim and a good peer, whose applications call each other's services.
type world struct {
	certs        map[string]*certstest.Cluster
	victim, good *site
	// called are the listeners at which applications that nothing attacks make calls: the victim's, for its own service and for the
	// good peer's, and the good peer's, for the victim's.
	called []netip.AddrPort

	// What programs of their own have taken of the cores, and what the last one counted.
	outside time.Duration
	counted int64
}

func startWorld(t *testing.T, with *config) *world {
	t.Helper()
	w := &world{certs: certstest.New(t, victim, good, guest, evil)}
	w.victim, w.good = startSite(t, w.certs, victim, with), startSite(t, w.certs, good, &config{})
	app := startEcho(t)
	own, remote, imported := free(t), free(t), free(t)
	w.called = []netip.AddrPort{own, remote, imported}
	services := map[discovery.ServiceName]*discovery.Service{
		cart: service(cart, own, app), stock: service(stock, remote, netip.AddrPort{}),
	}
	maps.Copy(services, with.services)
	w.victim.set(t, func(l *discovery.Local) {
		l.Services, l.ProxyAddresses = hashtrie.Of(services), with.proxies
		l.Peers = map[string]*discovery.Peer{good: w.peer(good), guest: w.peer(guest), evil: w.peer(evil)}
	})
	w.good.set(t, func(l *discovery.Local) {
		l.Services = hashtrie.Of(map[discovery.ServiceName]*discovery.Service{
			cart: service(cart, imported, netip.AddrPort{}), stock: service(stock, netip.AddrPort{}, app),
		})
		l.Peers = map[string]*discovery.Peer{victim: w.peer(victim)}
	})
	w.victim.node.SetPeers([]tunnel.Peer{{Name: good}, {Name: guest}, {Name: evil}})
	w.good.node.SetPeers([]tunnel.Peer{{Name: victim, Addresses: []string{w.victim.node.Addr().String()}}})
	for _, at := range w.called {
		await(t, "calls are answered", func() bool {
			_, err := ask(t, at)
			return err == nil
		})
	}
	return w
}

// removeEvil removes the Peer, after which nothing of it is known.
func (w *world) removeEvil(t *testing.T) {
	t.Helper()
	w.victim.set(t, func(l *discovery.Local) {
		l.Peers = map[string]*discovery.Peer{good: w.peer(good), guest: w.peer(guest)}
	})
	w.victim.node.SetPeers([]tunnel.Peer{{Name: good}, {Name: guest}})
}

func (w *world) peer(name string) *discovery.Peer {
	c := w.certs[name]
	return &discovery.Peer{Name: name, Spec: v1alpha1.PeerSpec{SPIFFEID: c.Peer.ID.String(), TrustBundle: c.TrustBundle}}
}

// service is one that is exported; without a listener applications cannot call it, without an endpoint a peer has it.
func service(name discovery.ServiceName, listener, endpoint netip.AddrPort) *discovery.Service {
	s := &discovery.Service{Name: name, Ports: []discovery.ServicePort{{Port: 80, Protocol: discovery.TCP}}, Export: &discovery.Export{}}
	if listener.IsValid() {
		s.Listeners = []discovery.Listener{{Address: listener, Port: 80}}
	}
	if endpoint.IsValid() {
		s.Endpoints = map[uint16][]discovery.Endpoint{80: {{Address: endpoint, Ready: true}}}
	}
	return s
}

// startEcho starts an application that sends back what it gets.
func startEcho(t *testing.T) netip.AddrPort {
	t.Helper()
	return startApp(t, func(c net.Conn) { _, _ = io.Copy(c, c) })
}

func startApp(t *testing.T, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	app := bind(t)
	var wg sync.WaitGroup
	as(t.Context(), applications, func() {
		wg.Go(func() {
			for {
				c, err := app.Accept()
				if err != nil {
					return
				}
				wg.Go(func() {
					defer c.Close()
					serve(c)
				})
			}
		})
	})
	t.Cleanup(func() {
		_ = app.Close()
		wg.Wait()
	})
	return netip.MustParseAddrPort(app.Addr().String())
}

// Addresses of applications: those that nothing attacks, and the attacker's.
var (
	honest   = net.IPv4(127, 0, 0, 9)
	attacker = net.IPv4(127, 0, 0, 66)
)

// ask makes a call, and returns how long it took.
func ask(t *testing.T, to netip.AddrPort) (time.Duration, error) {
	t.Helper()
	const text, patience = "hello", 20 * time.Second
	began := time.Now()
	c, err := dialFrom(t.Context(), honest, to)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_ = c.SetDeadline(began.Add(patience))
	if _, err := io.WriteString(c, text); err != nil {
		return 0, err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		return 0, fmt.Errorf("%q came back: %w", got, err)
	}
	return time.Since(began), nil
}

// dialFrom connects from an address.
func dialFrom(ctx context.Context, from net.IP, to netip.AddrPort) (net.Conn, error) {
	return openloop.From(&net.TCPAddr{IP: from}).DialContext(ctx, "tcp", to.String())
}

// await looks until something is so.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for until := time.Now().Add(time.Minute); !is(); <-ticker.C {
		if time.Now().After(until) {
			t.Fatalf("not so after a minute: %s", what)
		}
	}
}

const (
	// kept is how much of a log is kept, in bytes.
	kept = 1 << 20
	// maxLine is how long a line of a log may be: some texts of at most 1 KiB.
	maxLine = 8 << 10
)

// record is a log of which it keeps the beginning. It looks at each line: that it is short and prints.
type record struct {
	mu    sync.Mutex
	text  []byte
	total int // bytes
	lines int
	bad   string // the first line that is not as it should be

	// mark is in the lines that marked counts.
	mark   string
	marked int
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total += len(p)
	r.lines++
	if r.mark != "" && bytes.Contains(p, []byte(r.mark)) {
		r.marked++
	}
	r.text = append(r.text, p[:min(len(p), kept-len(r.text))]...)
	if line := string(p); r.bad == "" && (len(p) > maxLine || !prints(line[:len(line)-1])) {
		r.bad = line
	}
	return len(p), nil
}

// Sync is for zap.
func (*record) Sync() error { return nil }

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.text)
}

// size is how many lines and bytes there were.
func (r *record) size() (lines, total int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines, r.total
}

// count is how many lines have the mark.
func (r *record) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.marked
}

// check reports a line that is not as it should be.
func (r *record) check(t *testing.T, what string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bad != "" {
		t.Errorf("%s has a line of %d bytes: %.1000q", what, len(r.bad), r.bad)
	}
}

// prints is true for text that neither ends its line nor moves a cursor.
func prints(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return false
		}
	}
	return true
}
