package listen

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/relay"
)

// sockets counts what is listened on; nothing connects.
type sockets struct {
	mu     sync.Mutex
	open   map[netip.AddrPort]bool
	opened int
}

func (s *sockets) Listen(_ context.Context, at netip.AddrPort) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[at] = true
	s.opened++
	return &socket{sockets: s, at: at, closed: make(chan struct{})}, nil
}

type socket struct {
	*sockets
	at     netip.AddrPort
	closed chan struct{}
}

func (s *socket) Accept() (net.Conn, error) {
	<-s.closed
	return nil, net.ErrClosed
}

func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[s.at] {
		delete(s.open, s.at)
		close(s.closed)
	}
	return nil
}

func (s *socket) Addr() net.Addr { return net.TCPAddrFromAddrPort(s.at) }

type unused struct{}

func (unused) Serve(context.Context, relay.Conn, Binding) {}

// TestVacancy: a listener closes when nothing can serve it for a while, and opens at once when something can.
func TestVacancy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at := netip.MustParseAddrPort("10.0.0.1:80")
		name := discovery.ServiceName{Namespace: "shop", Name: "a"}
		s := &sockets{open: make(map[netip.AddrPort]bool)}
		serves := false
		ls := New(Config{
			Log: zap.NewNop(), Network: s, Handler: unused{}, Serves: func(b Binding) bool { return serves && b.Service == name },
			Failed: prometheus.NewGauge(prometheus.GaugeOpts{}), Vacant: prometheus.NewGauge(prometheus.GaugeOpts{}),
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer ls.Wait()
		defer cancel()
		defer ls.Close()
		expect := func(what string, wait, wantWait time.Duration, open bool, opened int) {
			t.Helper()
			if wait != wantWait || s.open[at] != open || s.opened != opened || ls.Status()[0].Vacant == open {
				t.Errorf("%s: again in %v, open %t, opened %d times, status %+v", what, wait, s.open[at], s.opened, ls.Status())
			}
		}
		snapshot := snapshotOf(&discovery.Service{Name: name, Listeners: []discovery.Listener{{Address: at, Port: 80}}})
		expect("never served", ls.Follow(ctx, snapshot), 0, false, 0)
		if _, err := ls.Open(name, 80); err == nil {
			t.Error("open although vacant")
		}
		serves = true
		expect("another service changed", ls.Review(ctx), 0, false, 0)
		expect("served", ls.Review(ctx, name), 0, true, 1)
		serves = false
		expect("not served", ls.Review(ctx, name), vacantFor, true, 1)
		bubble.Pass(vacantFor - time.Millisecond)
		expect("for a while", ls.Review(ctx), time.Millisecond, true, 1)
		serves = true
		expect("served again in time", ls.ReviewAll(ctx), 0, true, 1)
		serves = false
		expect("not served again", ls.ReviewAll(ctx), vacantFor, true, 1)
		bubble.Pass(vacantFor)
		expect("vacant", ls.Review(ctx), 0, false, 1)
		serves = true
		expect("served at last", ls.Follow(ctx, snapshotOf(
			&discovery.Service{Name: name, Listeners: []discovery.Listener{{Address: at, Port: 80}}, Ports: []discovery.ServicePort{{Port: 80}}},
		)), 0, true, 2)
	})
}
