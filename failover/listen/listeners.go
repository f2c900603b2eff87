package listen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/pace"
	"github.com/eastway/eastway/internal/relay"
	"github.com/eastway/eastway/internal/status"
)

// Network is what listeners listen on. Its connections are relay.Conns.
type Network interface {
	Listen(ctx context.Context, at netip.AddrPort) (net.Listener, error)
}

// Config is what Listeners need; all of it.
type Config struct {
	Log     *zap.Logger
	Network Network
	Handler Handler
	// Serves is true if a connection of the binding has somewhere to go. Where it has not, nothing is listened for.
	Serves func(b Binding) bool
	// Short takes in why connections cannot be accepted, if this process or host is short of something; false: it is not.
	Short func(at netip.AddrPort, err error) bool
	// Failed is set to the number of listeners that cannot be opened now, Vacant to that of those that nothing could serve.
	Failed, Vacant prometheus.Gauge
}

// Listeners has one listener per service address and TCP port.
type Listeners struct {
	cfg Config

	mu     sync.Mutex
	byAddr map[netip.AddrPort]*listener
	// pending are those of byAddr that are to be opened.
	pending map[netip.AddrPort]*listener
	// leaving are those that are open and have nothing to serve them.
	leaving map[netip.AddrPort]*listener
	claims  claims
	// clashes are service ports whose address another service has.
	clashes map[netip.AddrPort][]status.Listener
	closed  bool
	wg      sync.WaitGroup // accept loops and connections

	revision atomic.Uint64 // grows with each change of the above, while mu is held
}

// listener is wanted; it is open when ln is set.
type listener struct {
	addr netip.AddrPort

	// The rest is guarded by Listeners.mu.
	binding  Binding
	service  string // the binding's, as text: it is reported much more often than it changes
	ln       net.Listener
	err      error
	failures int // to open it, in a row
	retry    time.Time
	// vacant: it is closed because nothing can serve it. emptySince is since when, while it is open; zero: something can.
	vacant     bool
	emptySince time.Time
}

// New makes Listeners; none is open before Follow.
func New(cfg Config) *Listeners {
	return &Listeners{
		cfg:    cfg,
		byAddr: make(map[netip.AddrPort]*listener), pending: make(map[netip.AddrPort]*listener),
		leaving: make(map[netip.AddrPort]*listener),
		clashes: make(map[netip.AddrPort][]status.Listener),
		claims:  claims{at: make(map[netip.AddrPort][]Binding)},
	}
}

// Follow opens and closes listeners so that they are those of s; what they accept is served until ctx ends. It returns
// when to try again to open those that failed; 0 when all are open.
func (ls *Listeners) Follow(ctx context.Context, s *discovery.Snapshot) time.Duration {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return 0
	}
	touched, changed := ls.claims.follow(s)
	for addr := range touched {
		ls.settle(addr)
		ls.revision.Add(1)
	}
	for _, name := range changed {
		ls.reviewService(name)
	}
	for addr := range touched { // it may be another service's now
		if l := ls.byAddr[addr]; l != nil {
			ls.review(l)
		}
	}
	return ls.openAll(ctx)
}

// settle decides which service has an address: the one that has it keeps it, else the first by name gets it. The
// lock is held.
func (ls *Listeners) settle(addr netip.AddrPort) {
	claimed, l := ls.claims.at[addr], ls.byAddr[addr]
	if len(claimed) == 0 {
		if l != nil {
			l.close()
			delete(ls.byAddr, addr)
			ls.cfg.Log.Info("listener closed", zap.Stringer("address", addr), zap.Stringer("service", l.binding.Service))
		}
		delete(ls.pending, addr)
		delete(ls.leaving, addr)
		delete(ls.clashes, addr)
		return
	}
	if l == nil {
		l = &listener{addr: addr}
		ls.byAddr[addr], ls.pending[addr] = l, l
	}
	if !slices.Contains(claimed, l.binding) { // for another service it may open
		l.binding, l.service, l.failures, l.retry = claimed[0], claimed[0].Service.String(), 0, time.Time{}
		l.emptySince = time.Time{}
	}
	var clashes []status.Listener
	for _, b := range claimed {
		if b == l.binding {
			continue
		}
		c := status.Listener{
			Address: addr, Service: b.Service.String(),
			Error: fmt.Sprintf("failover: %v is listened on for service %s already: give one of them another clusterIP or port",
				addr, l.binding.Service),
		}
		if !slices.Contains(ls.clashes[addr], c) {
			ls.cfg.Log.Error("two services on one address", zap.Stringer("address", addr), zap.String("error", c.Error))
		}
		clashes = append(clashes, c)
	}
	delete(ls.clashes, addr)
	if len(clashes) > 0 {
		ls.clashes[addr] = clashes
	}
}

// openAll opens what is not open yet, and returns when to try again, or to look at those that are leaving. The lock is held.
func (ls *Listeners) openAll(ctx context.Context) time.Duration {
	var wait time.Duration
	for _, l := range ls.leaving {
		if left := max(vacantFor-time.Since(l.emptySince), time.Millisecond); wait == 0 || left < wait {
			wait = left
		}
	}
	for addr, l := range ls.pending {
		if !time.Now().Before(l.retry) {
			ls.open(ctx, l)
			ls.revision.Add(1)
		}
		if l.ln != nil {
			delete(ls.pending, addr)
			continue
		}
		if left := time.Until(l.retry); wait == 0 || left < wait {
			wait = max(left, time.Millisecond)
		}
	}
	failed := len(ls.pending)
	for _, clashes := range ls.clashes {
		failed += len(clashes)
	}
	ls.cfg.Failed.Set(float64(failed))
	vacant := 0
	for _, l := range ls.byAddr {
		if l.vacant {
			vacant++
		}
	}
	ls.cfg.Vacant.Set(float64(vacant))
	return wait
}

// open tries to listen; the lock is held.
func (ls *Listeners) open(ctx context.Context, l *listener) {
	ln, err := ls.cfg.Network.Listen(ctx, l.addr)
	if err == nil {
		if l.err != nil {
			ls.cfg.Log.Info("listener recovered", zap.Stringer("address", l.addr), zap.Stringer("service", l.binding.Service))
		}
		l.ln, l.err, l.failures = ln, nil, 0
		ls.wg.Go(func() { ls.accept(ctx, l, ln) })
		return
	}
	err = listenError(l.addr, l.binding.Service, err)
	if l.err == nil || l.err.Error() != err.Error() { // once, not at each try
		ls.cfg.Log.Error("cannot listen", zap.Stringer("address", l.addr), zap.Stringer("service", l.binding.Service), zap.Error(err))
	}
	l.failures++
	l.err, l.retry = err, time.Now().Add(pace.Backoff(l.failures, listenBackoffMin, listenBackoffMax))
}

// listenError names what was attempted and what to do.
func listenError(addr netip.AddrPort, service discovery.ServiceName, err error) error {
	remedy := "see the error"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "another process listens there: stop it, or change the service's clusterIP or port"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		remedy = "the process may not bind this port: grant CAP_NET_BIND_SERVICE or use a port of 1024 or above"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		remedy = "the address is not on this machine: add it to an interface, or change the service's clusterIP"
	case errors.Is(err, syscall.EMFILE):
		remedy = "the process is out of file descriptors: raise its limit of open files"
	}
	return fmt.Errorf("failover: listen on %v for service %s: %w (%s)", addr, service, err, remedy)
}

// accept hands connections to the handler until the listener is closed.
func (ls *Listeners) accept(ctx context.Context, l *listener, ln net.Listener) {
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	failures := 0
	for {
		c, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			failures++
			pause := pace.Backoff(failures, acceptBackoffMin, acceptBackoffMax)
			if !ls.cfg.Short(l.addr, err) {
				ls.cfg.Log.Warn("cannot accept, pausing", zap.Stringer("address", l.addr), zap.Duration("pause", pause), zap.Error(err))
			}
			if !pace.Sleep(ctx, pause) {
				return
			}
			continue
		}
		failures = 0
		conn, err := relay.AsConn(c)
		if err != nil {
			ls.cfg.Log.Error("connection not served", zap.Stringer("address", l.addr), zap.Error(err))
			continue
		}
		b := ls.bindingOf(l)
		ls.wg.Go(func() { ls.cfg.Handler.Serve(ctx, conn, b) })
	}
}

func (ls *Listeners) bindingOf(l *listener) Binding {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return l.binding
}

func (l *listener) close() {
	if l.ln != nil {
		_ = l.ln.Close()
		l.ln = nil
	}
}

// Close closes all listeners for good. Connections go on.
func (ls *Listeners) Close() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.closed = true
	ls.revision.Add(1)
	for _, l := range ls.byAddr {
		l.close()
	}
	clear(ls.byAddr)
	clear(ls.pending)
	clear(ls.leaving)
	clear(ls.clashes)
	ls.cfg.Failed.Set(0)
	ls.cfg.Vacant.Set(0)
}

// Wait returns when all accept loops and handlers have ended, after Close and the end of Follow's context.
func (ls *Listeners) Wait() { ls.wg.Wait() }

// Revision grows whenever Status changes.
func (ls *Listeners) Revision() uint64 { return ls.revision.Load() }

// errClosed is no fault of a service's.
var errClosed = errors.New("the proxy shuts down: call another one")

// Open returns a listener of a service that is open, that of its own name first; port 0 is any. If there is none, the error is why; with
// ErrVacant it returns one that is closed.
func (ls *Listeners) Open(service discovery.ServiceName, port uint16) (Binding, error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return Binding{}, errClosed
	}
	var found, vacant []Binding
	var err error
	for _, l := range ls.byAddr {
		if b := l.binding; b.Service == service && (port == 0 || b.Port == port) {
			if l.vacant {
				vacant = append(vacant, b)
			}
			if err = cmp.Or(err, l.err); l.ln != nil {
				found = append(found, b)
			}
		}
	}
	switch {
	case len(found) > 0:
		return slices.MinFunc(found, Binding.compare), nil
	case len(vacant) > 0 && err == nil:
		return slices.MinFunc(vacant, Binding.compare), ErrVacant
	}
	return Binding{}, err
}

// compare puts the service's own address before those of the cluster set, then the lowest port first.
func (b Binding) compare(o Binding) int {
	if b.ClusterSet != o.ClusterSet {
		if o.ClusterSet {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(b.Port, o.Port), b.At.Compare(o.At))
}

// Has is true if something is listened for at that address; host reports whether an IP is one of this host's.
func (ls *Listeners) Has(at netip.AddrPort, host func(netip.Addr) bool) bool {
	ls.mu.Lock()
	exact := ls.byAddr[at] != nil
	wide := ls.byAddr[netip.AddrPortFrom(netip.IPv6Unspecified(), at.Port())] != nil ||
		ls.byAddr[netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())] != nil
	ls.mu.Unlock()
	return exact || wide && host(at.Addr())
}

// Status is all listeners that the catalog requests, sorted by address and service.
func (ls *Listeners) Status() []status.Listener {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	out := slices.Concat(slices.Collect(maps.Values(ls.clashes))...)
	for addr, l := range ls.byAddr {
		s := status.Listener{Address: addr, Service: l.service, Vacant: l.vacant}
		if l.err != nil {
			s.Error = l.err.Error()
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b status.Listener) int {
		return cmp.Or(a.Address.Addr().Compare(b.Address.Addr()), cmp.Compare(a.Address.Port(), b.Address.Port()),
			cmp.Compare(a.Service, b.Service))
	})
	return out
}
