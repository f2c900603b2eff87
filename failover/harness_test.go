package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// patience is how long a test waits for what must happen; it times nothing.
const patience = time.Minute

var (
	echoName = discovery.ServiceName{Namespace: "shop", Name: "echo"}
	here     = discovery.Locality{Region: "cn-hangzhou", Zone: "cn-hangzhou-h"}
	beside   = discovery.Locality{Region: "cn-hangzhou", Zone: "cn-hangzhou-k"}
	abroad   = discovery.Locality{Region: "ap-northeast-1", Zone: "ap-northeast-1a"}
)

var lastAddress atomic.Uint32

// freshAddress is a loopback address that no other test uses.
func freshAddress() netip.Addr {
	n := lastAddress.Add(1)
	return netip.AddrFrom4([4]byte{127, byte(100 + os.Getpid()%100), byte(n >> 8), byte(n)})
}

const servicePort = 8000

// ejectAfter is how many failures in a row eject an endpoint by default.
const ejectAfter = 3

// world is a proxy under test.
type world struct {
	t       testing.TB
	proxy   *Proxy
	catalog *fakeCatalog
	tunnels *fakeTunnels
	service *discovery.Service
	access  *observer.ObservedLogs
	log     *observer.ObservedLogs
	cancel  context.CancelFunc
	names   map[string]string // of addresses
	listed  struct {
		revision uint64
		all      []status.Listener
	}
}

type locality = discovery.Locality

type setup func(w *world, c *Config)

func newWorld(t testing.TB, options ...setup) *world {
	t.Helper()
	access, lines := observer.New(zapcore.InfoLevel)
	log, events := observer.New(zapcore.DebugLevel)
	ctx, cancel := context.WithCancel(t.Context())
	w := &world{
		t: t, names: make(map[string]string), access: lines, log: events, cancel: cancel,
		tunnels: &fakeTunnels{self: "cn-hangzhou", ctx: ctx, peers: make(map[string]*fakePeer)},
		service: &discovery.Service{
			Name: echoName, Export: &discovery.Export{}, Addresses: []netip.Addr{freshAddress()},
			Ports:     []discovery.ServicePort{{Name: "http", Port: servicePort, Protocol: "TCP"}},
			Endpoints: map[uint16][]discovery.Endpoint{},
		},
	}
	cfg := Config{Cluster: "cn-hangzhou", Locality: here, Tunnels: w.tunnels, AccessLog: zap.New(access), Log: zap.New(log)}
	for _, o := range options {
		o(w, &cfg)
	}
	w.catalog = newFakeCatalog(w.snapshot())
	cfg.Catalog = w.catalog
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.proxy = p
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run did not return")
		}
		w.tunnels.wg.Wait()
	})
	w.eventually("ready", func() bool { return p.Ready() == nil && len(p.Listening()) > 0 })
	return w
}

func (w *world) snapshot() *discovery.Snapshot {
	svc := *w.service
	if svc.Listeners == nil {
		svc.Listeners = discovery.ListenersAt(svc.Ports, svc.Addresses...)
	}
	peers := map[string]*discovery.Peer{}
	for _, name := range []string{"a", "cn-hangzhou"} { // those that open streams in tests
		peers[name] = &discovery.Peer{Name: name}
	}
	return &discovery.Snapshot{Services: hashtrie.Of(map[discovery.ServiceName]*discovery.Service{svc.Name: &svc}), Peers: peers}
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if ok() {
			return
		}
	}
	w.t.Fatalf("not %s in time", what)
}

// connect connects an application. It may see a reset already here.
func (w *world) connect() (*net.TCPConn, error) {
	c, err := net.DialTCP("tcp4", nil, net.TCPAddrFromAddrPort(netip.AddrPortFrom(w.service.Addresses[0], servicePort)))
	if err != nil {
		return nil, err
	}
	w.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c, nil
}

func (w *world) dial() *net.TCPConn {
	w.t.Helper()
	c, err := w.connect()
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// ask sends a request on a new connection.
func (w *world) ask(request string) (string, error) {
	w.t.Helper()
	c, err := w.connect()
	if err != nil {
		return "", err
	}
	return ask(w.t, c, request)
}

// line is the only line of the access log, once it is there.
func (w *world) line() map[string]any {
	w.t.Helper()
	w.eventually("logged", func() bool { return w.access.Len() > 0 })
	return w.access.All()[0].ContextMap()
}

// results are those of the attempts in a line.
func results(line map[string]any) []string {
	var out []string
	list, _ := line["attempts"].([]any)
	for _, a := range list {
		m, _ := a.(map[string]any)
		out = append(out, fmt.Sprint(m["target"], " ", m["result"]))
	}
	return out
}

// backend is an endpoint; nil behave echoes. It returns its address.
func backend(t testing.TB, behave func(c *net.TCPConn)) netip.AddrPort {
	t.Helper()
	ln, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(freshAddress(), 0)))
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, ln, behave)
}

// serveOn is backend on a listener.
func serveOn(t testing.TB, ln *net.TCPListener, behave func(c *net.TCPConn)) netip.AddrPort {
	if behave == nil {
		behave = func(c *net.TCPConn) {
			_, _ = io.Copy(c, c)
			_ = c.CloseWrite()
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.AcceptTCP()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				behave(c)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// answers is a backend that sends its name and what it read up to the end.
func answers(name string) func(c *net.TCPConn) {
	return func(c *net.TCPConn) {
		b, err := io.ReadAll(c)
		if err == nil {
			fmt.Fprintf(c, "%s got %s", name, b)
		}
	}
}

// dead is an address where nothing listens.
func dead(t testing.TB) netip.AddrPort {
	t.Helper()
	return netip.AddrPortFrom(freshAddress(), 9)
}

// blackhole is an address that swallows connections: its backlog is full.
func blackhole(t testing.TB) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	addr := freshAddress()
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: addr.As4()}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	ap := netip.AddrPortFrom(addr, uint16(sa.(*syscall.SockaddrInet4).Port))
	for { // until one connection is not answered any more
		c, err := net.DialTimeout("tcp4", ap.String(), 200*time.Millisecond)
		if err != nil {
			return ap
		}
		t.Cleanup(func() { c.Close() })
	}
}

func endpoints(at ...discovery.Endpoint) setup {
	return func(w *world, _ *Config) { w.service.Endpoints[servicePort] = at }
}

func endpoint(a netip.AddrPort, l discovery.Locality) discovery.Endpoint {
	return discovery.Endpoint{Address: a, Locality: l, Ready: true}
}

func peer(name string, at discovery.Locality, p *fakePeer) setup {
	return func(w *world, _ *Config) {
		if p.replicas == nil {
			p.replicas = []string{name + "-1"}
		}
		if p.state == (tunnel.PeerState{}) {
			p.state = tunnel.PeerState{Usable: true, RTT: 10 * time.Millisecond}
		}
		w.tunnels.peers[name] = p
		w.service.Peers = append(w.service.Peers, discovery.PeerExport{
			Peer: name, Ports: w.service.Ports,
			Readiness: []discovery.Readiness{{Locality: at, Port: servicePort, Ready: 1, Total: 1}},
		})
	}
}

func policy(p *v1alpha1.TrafficPolicySpec) setup {
	return func(w *world, _ *Config) { w.service.Policy = p }
}

// ask sends a request that ends with a half-close and reads the answer.
func ask(t testing.TB, c *net.TCPConn, request string) (string, error) {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		return "", err
	}
	if err := c.CloseWrite(); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// Handlers of fake peers.

func accepts(name string) handler {
	return func(in *fakeIncoming) {
		s, err := in.Accept(&tunnelpb.Answer{Code: tunnelpb.Answer_CODE_ACCEPTED, Endpoint: name})
		if err != nil {
			return
		}
		b, err := io.ReadAll(s)
		if err != nil {
			return
		}
		fmt.Fprintf(s, "%s got %s", name, b)
		_ = s.CloseWrite()
	}
}

// hears waits until the opener has sent exactly this.
func hears(in *fakeIncoming, want string) bool {
	return hearsUntil(in, func(got string) bool { return got == want })
}

// hearsSome waits until the opener has sent that many bytes, but not for long: on a busy machine the connection may be raced
// before they are there, and then none is given out.
func hearsSome(in *fakeIncoming, n int) {
	limit := time.Now().Add(2 * dial.LocalStagger)
	hearsUntil(in, func(got string) bool { return len(got) >= n || time.Now().After(limit) })
}

func hearsUntil(in *fakeIncoming, enough func(got string) bool) bool {
	tick := time.NewTicker(time.Millisecond) // a fake looks at what was sent without taking it
	defer tick.Stop()
	for ; in.ctx.Err() == nil; <-tick.C {
		if got, _ := in.early(); enough(got) {
			return true
		}
	}
	return false
}

// afterEnd waits until the opener has sent its end before it does anything.
func afterEnd(h handler) handler {
	return func(in *fakeIncoming) {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for ; in.ctx.Err() == nil; <-tick.C {
			if _, ended := in.early(); ended {
				h(in)
				return
			}
		}
	}
}

func refusesAfter(want string, code tunnel.Code) handler {
	return func(in *fakeIncoming) {
		if hears(in, want) {
			_ = in.Refuse(code, "no", 0)
		}
	}
}

func diesAfter(want string) handler {
	return func(in *fakeIncoming) {
		if hears(in, want) {
			in.die()
		}
	}
}

// silent never answers.
func silent(in *fakeIncoming) { <-in.ctx.Done() }

// suspectAt makes the lane suspect, and never answers.
func suspectAt(want string) handler {
	return func(in *fakeIncoming) {
		if hears(in, want) {
			close(in.opener.suspect)
		}
		<-in.ctx.Done()
	}
}

// reset ends a connection with a RST.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// isReset: the application saw an error and no end.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ENOTCONN) ||
		err != nil && strings.HasSuffix(err.Error(), "not pollable") // what Go's poller makes of a reset of this moment
}
