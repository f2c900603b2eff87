package hostile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover"
	"github.com/eastway/eastway/internal/eventlog"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/tunnel"
)

// calls is how many calls each test makes.
const calls = 5

// alone is a proxy without peers, whose catalog an attacker wrote.
type alone struct {
	*failover.Proxy

	log     *record
	metrics *prometheus.Registry
	access  *observer.ObservedLogs
	stop    func()
}

func startAlone(t *testing.T, guard *discovery.Guard, local discovery.Local) *alone {
	t.Helper()
	catalog := discovery.NewCatalog(nil)
	catalog.SetLocal(local)
	core, access := observer.New(zapcore.InfoLevel)
	a := &alone{log: &record{}, metrics: prometheus.NewRegistry(), access: access}
	var err error
	a.Proxy, err = failover.New(failover.Config{
		Cluster: "b", Catalog: catalog, Tunnels: noPeers{}, Guard: guard,
		Log: eventlog.New(a.log, zapcore.InfoLevel), AccessLog: zap.New(core), Metrics: a.metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	a.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(a.stop)
	for a.Revision() == 0 {
		select {
		case err := <-ended:
			t.Fatal(err)
		default:
			runtime.Gosched()
		}
	}
	for _, l := range a.Listening() {
		if l.Error != "" {
			t.Fatal(l.Error)
		}
	}
	return a
}

// count is the value of eastway_failover_forbidden_endpoints_total for a reason.
func (a *alone) count(t *testing.T, reason discovery.Refusal) float64 {
	t.Helper()
	families, err := a.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "eastway_failover_forbidden_endpoints_total" && m.GetLabel()[0].GetValue() == string(reason) {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// noPeers stands for the tunnels of a cluster without peers.
type noPeers struct{}

func (noPeers) Open(context.Context, string, *tunnel.Header, []string) (failover.Stream, error) {
	return nil, tunnel.ErrUnknownPeer
}

func (noPeers) State(string) tunnel.PeerState { return tunnel.PeerState{} }

// services are Services with a listener and an endpoint each, by name.
func services(pairs map[string][2]netip.AddrPort) discovery.Local {
	all := map[discovery.ServiceName]*discovery.Service{}
	for name, at := range pairs {
		n := discovery.ServiceName{Namespace: "shop", Name: name}
		all[n] = &discovery.Service{
			Name: n, Ports: []discovery.ServicePort{{Port: 80, Protocol: discovery.TCP}},
			Listeners: []discovery.Listener{{Address: at[0], Port: 80}},
			Endpoints: map[uint16][]discovery.Endpoint{80: {{Address: at[1], Ready: true}}},
		}
	}
	return discovery.Local{Services: hashtrie.Of(all)}
}

// freeAddresses are how many free has given out.
var freeAddresses atomic.Uint32

// free is an address at which nothing listens, each time another one. No connection begins there, which could take the port meanwhile.
func free(t *testing.T) netip.AddrPort {
	t.Helper()
	n := freeAddresses.Add(1)
	ln := bindAt(t, fmt.Sprintf("127.1.%d.%d:0", n/250%250, n%250+1))
	at := netip.MustParseAddrPort(ln.Addr().String())
	_ = ln.Close()
	return at
}

func bind(t *testing.T) net.Listener {
	t.Helper()
	return bindAt(t, "127.0.0.1:0")
}

func bindAt(t *testing.T, addr string) net.Listener {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// call connects from 127.0.0.9, and returns when the connection has ended, or its bytes came back.
func call(t *testing.T, to netip.AddrPort) error {
	t.Helper()
	c, err := dialFrom(t.Context(), honest, to)
	if errors.Is(err, syscall.ECONNRESET) {
		return err
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /latest/meta-data HTTP/1.0\r\n\r\n"); err != nil {
		return err // that of the reset, which a read would not get a second time
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

// An endpoint that is the machine itself, its metadata service or the proxy's own port gets nothing, and a log line and a metric say so.
func TestForbiddenEndpoints(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	local := bind(t)
	t.Cleanup(func() { _ = local.Close() })
	go func() {
		for {
			c, err := local.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			_ = c.Close()
		}
	}()
	inside := netip.MustParseAddrPort(local.Addr().String())
	mapped := netip.AddrPortFrom(netip.AddrFrom16(inside.Addr().As16()), inside.Port())
	own := &discovery.Guard{AllowLoopback: true}
	own.Own(inside)
	for _, test := range []struct {
		name     string
		guard    *discovery.Guard
		endpoint netip.AddrPort
		reason   discovery.Refusal
	}{
		{"loopback", &discovery.Guard{}, inside, discovery.RefusedLoopback},
		{"loopback in IPv6", &discovery.Guard{}, mapped, discovery.RefusedLoopback},
		{"metadata", own, netip.MustParseAddrPort("169.254.169.254:80"), discovery.RefusedLinkLocal},
		{"admin port", own, inside, discovery.RefusedOwnPort},
		{"this host", own, netip.AddrPortFrom(netip.IPv4Unspecified(), inside.Port()), discovery.RefusedUnspecified},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			listener := free(t)
			a := startAlone(t, test.guard, services(map[string][2]netip.AddrPort{"bad": {listener, test.endpoint}}))
			for range calls {
				if err := call(t, listener); err == nil || errors.Is(err, io.EOF) {
					t.Errorf("the call ended with %v, want a reset", err)
				}
			}
			a.stop()
			if n := reached.Load(); n > 0 {
				t.Errorf("the endpoint got %d connections", n)
			}
			if got := a.count(t, test.reason); got < calls {
				t.Errorf("%v were counted", got)
			}
			if log := a.log.String(); !strings.Contains(log, test.reason.Text()) {
				t.Errorf("the log does not say why: %.2000s", log)
			}
			for _, e := range a.access.All() {
				if result := e.ContextMap()["result"]; result != "no_endpoint" {
					t.Errorf("result %v", result)
				}
			}
		})
	}
}

// Services that are each other's endpoints take one connection for a call, not thousands.
func TestServicesInARing(t *testing.T) {
	t.Parallel()
	one, two := free(t), free(t)
	a := startAlone(t, &discovery.Guard{AllowLoopback: true}, services(map[string][2]netip.AddrPort{"one": {one, two}, "two": {two, one}}))
	for range calls {
		if err := call(t, one); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("the call ended with %v, want a reset", err)
		}
	}
	a.stop()
	if n := a.access.Len(); n != calls {
		t.Errorf("%d calls made %d connections", calls, n)
	}
	if got := a.count(t, discovery.RefusedLoop); got < calls {
		t.Errorf("%v were counted", got)
	}
}

// One whose endpoint leads back by a load balancer, which the address does not show, takes one connection more.
func TestRingThroughALoadBalancer(t *testing.T) {
	t.Parallel()
	listener := free(t)
	local := services(map[string][2]netip.AddrPort{"ring": {listener, startBalancer(t, listener)}})
	local.ProxyAddresses = []netip.Addr{netip.MustParseAddr("127.0.0.1")} // a proxy's connections come from there, those of call do not
	a := startAlone(t, &discovery.Guard{AllowLoopback: true}, local)
	for range calls {
		if err := call(t, listener); err == nil {
			t.Error("the call was answered")
		}
	}
	a.stop()
	if n := a.access.Len(); n > 2*calls {
		t.Errorf("%d calls made %d connections", calls, n)
	}
	if got := a.count(t, discovery.RefusedLoop); got < calls {
		t.Errorf("%v were counted", got)
	}
}

// startBalancer starts what carries connections to another address.
func startBalancer(t *testing.T, to netip.AddrPort) netip.AddrPort {
	t.Helper()
	return startApp(t, func(c net.Conn) { forward(t, c, to) })
}

// forward carries a connection to another address.
func forward(t *testing.T, from net.Conn, to netip.AddrPort) {
	defer from.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
	if err != nil {
		return
	}
	defer c.Close()
	go func() {
		_, _ = io.Copy(c, from)
		_ = c.Close()
	}()
	_, _ = io.Copy(from, c)
}
