package takeover

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/takeover"
	"github.com/eastway/eastway/internal/takeover/nft"
	"github.com/eastway/eastway/internal/takeover/report"
)

// healthPort of the proxies.
const healthPort = 15020

// proxy is a pod that plays a proxy: it answers for services, and tells which they are.
type proxy struct {
	*pod

	name  string
	where report.Locality

	hung, draining atomic.Bool
	stop           func() // its health listener is gone
	mu             sync.Mutex
	listeners      []admin.Listener
}

// proxy adds a proxy that listens nowhere yet.
func (n *node) proxy(t *testing.T, name string, where report.Locality) *proxy {
	t.Helper()
	p := &proxy{pod: n.pod(t, name), name: name, where: where}
	p.start(t)
	return p
}

// start begins to answer probes.
func (p *proxy) start(t *testing.T) {
	t.Helper()
	l := listen(t, p.Namespace, healthPort)
	server := &http.Server{ReadHeaderTimeout: callTimeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.hung.Load() {
			<-r.Context().Done()
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if err := json.NewEncoder(w).Encode(admin.Listeners{Ready: !p.draining.Load(), Listeners: p.listeners}); err != nil {
			t.Logf("%s: answer a probe: %v", p.name, err) // the agent has given up
		}
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	p.stop = sync.OnceFunc(func() {
		_ = server.Close()
		<-done
	})
	t.Cleanup(func() { p.stop() })
}

// serve answers for a service.
func (p *proxy) serve(t *testing.T, port uint16, service string) {
	t.Helper()
	p.answer(t, port, p.name)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listeners = append(p.listeners, admin.Listener{Port: port, Service: service})
}

// world is the Source of an agent under test.
type world struct {
	changed chan struct{}
	mu      sync.Mutex
	inv     takeover.Inventory
}

func newWorld(self report.Locality, proxies ...*proxy) *world {
	w := &world{changed: make(chan struct{}, 1), inv: takeover.Inventory{Self: self}}
	for _, p := range proxies {
		for _, a := range []netip.Addr{p.v4, p.v6} {
			w.inv.Proxies = append(w.inv.Proxies, takeover.Proxy{Address: a, Health: healthPort, Pod: p.name, Locality: p.where})
		}
	}
	w.changed <- struct{}{}
	return w
}

// takeOver changes what is taken over.
func (w *world) takeOver(services ...takeover.Service) {
	w.mu.Lock()
	w.inv.Services = services
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (*world) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (w *world) Changed() <-chan struct{} { return w.changed }

func (w *world) Inventory() (takeover.Inventory, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inv, true
}

// service is a Service with one port 80.
func service(name string, target uint16, clusterIPs ...string) takeover.Service {
	s := takeover.Service{Name: "default/" + name, Ports: []takeover.Port{{Protocol: "TCP", Port: 80, Target: target}}}
	for _, a := range clusterIPs {
		s.Addresses = append(s.Addresses, netip.MustParseAddr(a))
	}
	return s
}

// port80 is where a Service of service is called.
func port80(clusterIP string) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(clusterIP), 80)
}

// tables write into the node, until the agent is killed.
type tables struct {
	*nft.Table

	killed atomic.Bool
}

func (t *tables) Apply(r *nft.Ruleset) error {
	if t.killed.Load() {
		return nil
	}
	return t.Table.Apply(r)
}

// agent is a running agent.
type agent struct {
	*takeover.Agent

	tables *tables
	end    func()
}

// agent starts an agent on the node. Entries live for life.
func (n *node) agent(t *testing.T, life time.Duration, change func(*takeover.Config)) *agent {
	t.Helper()
	table, err := nft.New(nft.Config{Timeout: life, NetNS: n.file})
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{tables: &tables{Table: table}}
	cfg := takeover.Config{Tables: a.tables, Env: takeover.Env{Do: n.Do}, Log: zaptest.NewLogger(t)}
	change(&cfg)
	ctx, cancel := context.WithCancel(t.Context())
	if a.Agent, err = takeover.New(ctx, cfg); err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	a.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("agent: %v", err)
		}
	})
	t.Cleanup(func() { a.end() })
	return a
}

// kill ends the agent without a last word to the tables.
func (a *agent) kill() {
	a.tables.killed.Store(true)
	a.end()
}

// ready waits until the agent has written.
func (a *agent) ready(t *testing.T) {
	t.Helper()
	eventually(t, 5*time.Second, "the agent is ready", func() bool { return a.Ready() == nil })
}

// load calls an address again and again, from its start to the call of the function that it returns. That one tells how many
// calls there were, and the errors of those that failed.
func load(t *testing.T, p *pod, address netip.AddrPort) func() (int, []error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	calls, errs := 0, []error(nil)
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			calls++
			// The last call is not cut off.
			if _, _, err := call(context.WithoutCancel(ctx), p.Namespace, address); err != nil {
				errs = append(errs, fmt.Errorf("call %d: %w", calls, err))
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return func() (int, []error) {
		cancel()
		<-done
		return calls, errs
	}
}
