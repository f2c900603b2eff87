package failover

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
	"github.com/eastway/eastway/internal/relay"
)

// ListenerStatus is one address and port on which callers reach a service.
type ListenerStatus struct {
	Address netip.AddrPort `json:"address"`
	Service string         `json:"service"`
	// Error says why it is not listened on, and what to do; empty when it is.
	Error string `json:"error,omitempty"`
}

// listeners has one listener per service address and TCP port.
type listeners struct {
	log     *zap.Logger
	failed  prometheus.Gauge
	serve   func(ctx context.Context, conn relay.Conn, listener netip.AddrPort, pu purpose)
	network Network

	mu     sync.Mutex
	byAddr map[netip.AddrPort]*listener
	// pending are those of byAddr that are to be opened.
	pending map[netip.AddrPort]*listener
	claims  claims
	// clashes are service ports whose address another service has.
	clashes map[netip.AddrPort][]ListenerStatus
	closed  bool
	wg      sync.WaitGroup // accept loops and connections

	revision atomic.Uint64 // grows with each change of the above, while mu is held
}

// listener is wanted; it is open when ln is set.
type listener struct {
	addr netip.AddrPort

	// The rest is guarded by listeners.mu.
	key     purpose
	service string // of key; it is told much more often than it changes
	ln      net.Listener
	err     error
	backoff time.Duration
	retry   time.Time
}

func newListeners(log *zap.Logger, failed prometheus.Gauge, network Network,
	serve func(context.Context, relay.Conn, netip.AddrPort, purpose),
) *listeners {
	return &listeners{
		log: log, failed: failed, network: network, serve: serve,
		byAddr: make(map[netip.AddrPort]*listener), pending: make(map[netip.AddrPort]*listener),
		clashes: make(map[netip.AddrPort][]ListenerStatus),
		claims:  claims{at: make(map[netip.AddrPort][]purpose)},
	}
}

// follow opens and closes listeners so that they are those of s. It returns
// when to try again to open those that failed; 0 when all are open.
func (ls *listeners) follow(ctx context.Context, s *discovery.Snapshot) time.Duration {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return 0
	}
	for addr := range ls.claims.follow(s) {
		ls.settle(addr)
		ls.revision.Add(1)
	}
	return ls.openAll(ctx)
}

// settle decides who is listened for at an address: the service that has it keeps it, else the first by name gets it. The
// lock is held.
func (ls *listeners) settle(addr netip.AddrPort) {
	claimed, l := ls.claims.at[addr], ls.byAddr[addr]
	if len(claimed) == 0 {
		if l != nil {
			l.close()
			delete(ls.byAddr, addr)
			ls.log.Info("listener closed", zap.Stringer("address", addr), zap.Stringer("service", l.key.service))
		}
		delete(ls.pending, addr)
		delete(ls.clashes, addr)
		return
	}
	if l == nil {
		l = &listener{addr: addr}
		ls.byAddr[addr], ls.pending[addr] = l, l
	}
	if !slices.Contains(claimed, l.key) { // another service may have other luck
		l.key, l.service, l.backoff, l.retry = claimed[0], claimed[0].service.String(), 0, time.Time{}
	}
	var clashes []ListenerStatus
	for _, pu := range claimed {
		if pu == l.key {
			continue
		}
		c := ListenerStatus{
			Address: addr, Service: pu.service.String(),
			Error: fmt.Sprintf("failover: %v is listened on for service %s already: give one of them another clusterIP or port", addr, l.key.service),
		}
		if !slices.Contains(ls.clashes[addr], c) {
			ls.log.Error("two services on one address", zap.Stringer("address", addr), zap.String("error", c.Error))
		}
		clashes = append(clashes, c)
	}
	delete(ls.clashes, addr)
	if len(clashes) > 0 {
		ls.clashes[addr] = clashes
	}
}

// openAll opens what is not open yet, and returns when to try again. The lock is held.
func (ls *listeners) openAll(ctx context.Context) time.Duration {
	var wait time.Duration
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
	ls.failed.Set(float64(failed))
	return wait
}

// open tries to listen; the lock is held.
func (ls *listeners) open(ctx context.Context, l *listener) {
	ln, err := ls.network.Listen(ctx, l.addr)
	if err == nil {
		if l.err != nil {
			ls.log.Info("listener recovered", zap.Stringer("address", l.addr), zap.Stringer("service", l.key.service))
		}
		l.ln, l.err, l.backoff = ln, nil, 0
		ls.wg.Go(func() { ls.accept(ctx, l, ln) })
		return
	}
	err = listenError(l.addr, l.key.service, err)
	if l.err == nil || l.err.Error() != err.Error() { // once, not at each try
		ls.log.Error("cannot listen", zap.Stringer("address", l.addr), zap.Stringer("service", l.key.service), zap.Error(err))
	}
	l.backoff = min(max(2*l.backoff, listenBackoffMin), listenBackoffMax)
	l.err, l.retry = err, time.Now().Add(l.backoff)
}

// listenError says what was attempted and what to do.
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

// accept hands connections to serve until the listener is closed.
func (ls *listeners) accept(ctx context.Context, l *listener, ln net.Listener) {
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	pause := time.Duration(0)
	for {
		c, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			pause = min(max(2*pause, acceptBackoffMin), acceptBackoffMax)
			ls.log.Warn("cannot accept, pausing", zap.Stringer("address", l.addr), zap.Duration("pause", pause), zap.Error(err))
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			continue
		}
		pause = 0
		conn, err := asConn(c)
		if err != nil {
			ls.log.Error("connection not served", zap.Stringer("address", l.addr), zap.Error(err))
			continue
		}
		key := ls.keyOf(l)
		ls.wg.Go(func() { ls.serve(ctx, conn, l.addr, key) })
	}
}

func (ls *listeners) keyOf(l *listener) purpose {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return l.key
}

func (l *listener) close() {
	if l.ln != nil {
		_ = l.ln.Close()
		l.ln = nil
	}
}

// close closes all listeners for good. Connections go on.
func (ls *listeners) close() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.closed = true
	ls.revision.Add(1)
	for _, l := range ls.byAddr {
		l.close()
	}
	clear(ls.byAddr)
	clear(ls.pending)
	clear(ls.clashes)
	ls.failed.Set(0)
}

// ListenersRevision grows whenever Listening has something else to tell.
func (p *Proxy) ListenersRevision() uint64 { return p.listeners.revision.Load() }

// Listening are all listeners that the catalog asks for, sorted by address and service.
func (p *Proxy) Listening() []ListenerStatus {
	p.listeners.mu.Lock()
	defer p.listeners.mu.Unlock()
	out := slices.Concat(slices.Collect(maps.Values(p.listeners.clashes))...)
	for addr, l := range p.listeners.byAddr {
		s := ListenerStatus{Address: addr, Service: l.service}
		if l.err != nil {
			s.Error = l.err.Error()
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b ListenerStatus) int {
		return cmp.Or(a.Address.Addr().Compare(b.Address.Addr()), cmp.Compare(a.Address.Port(), b.Address.Port()),
			cmp.Compare(a.Service, b.Service))
	})
	return out
}
