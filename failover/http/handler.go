package http

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/drill"
	"github.com/eastway/eastway/failover/http/bounds"
	"github.com/eastway/eastway/failover/http/h1"
	"github.com/eastway/eastway/failover/http/sniff"
	"github.com/eastway/eastway/failover/listen"
	"github.com/eastway/eastway/failover/registry"
	"github.com/eastway/eastway/failover/slots"
	"github.com/eastway/eastway/internal/relay"
)

// Config is what a Handler needs; all of it.
type Config struct {
	// Cluster is the name of the own one.
	Cluster string
	Started time.Time // when the process was; zero: long ago
	// Log gets what net/http has to report.
	Log    *zap.Logger
	Table  *balance.Table
	Dialer *dial.Dialer
	// Budget bounds all attempts of one try to connect.
	Budget time.Duration
	// MaxPerPeer is how many requests of one peer are served at a time.
	MaxPerPeer int
	// Slots counts connections to endpoints.
	Slots *slots.Table
	// Watch notices resets of sockets; it may return nil.
	Watch  func() *relay.Watch
	Drills *drill.Drills // nil: there are none
	// Finished is called with each request that has ended.
	Finished func(*access.Entry)
	// Refused is called with each request that is not well-formed.
	Refused func(service discovery.ServiceName, v *h1.Violation)
	// OverBudget is called when a request is not sent once more because too many are.
	OverBudget func(service discovery.ServiceName)
	// LimitMet is called with each request, or retry, that is more than the policy's connectionPool or rateLimit allows.
	LimitMet func(service discovery.ServiceName, limit string)
	// Retried is called with each further try of a request, and what made it necessary.
	Retried func(service discovery.ServiceName, reason string)
}

// Handler carries the requests of applications.
type Handler struct {
	cfg Config
	// server has the connections of applications, inbound those of peers.
	server, inbound   *http.Server
	http2, http2peers *http.Transport
	pool              *pool
	leaving           leaving
	buffers           sync.Pool

	mu      sync.Mutex
	budgets map[balance.Key]*bounds.Budget
	peers   registry.Shares // requests under way
	// draining: applications' connections begin no more requests, drained: nor do those of peers.
	draining, drained atomic.Bool
	closed            chan struct{}
	ending            sync.WaitGroup                     // what ends peers' connections later
	silent            map[*front]context.CancelCauseFunc // connections of which nothing was read yet
}

// Call is one connection that a Handler serves.
type Call struct {
	// Caller is the application's IP:PORT.
	Caller string
	// Life outlives the connection, see dial.Request. The caller waits for Attempts.
	Life     context.Context
	Attempts *sync.WaitGroup
}

// origin is where the requests of one connection come from, and what they mean.
type origin struct {
	listen.Binding
	// caller is that of each request; those of a peer have their own.
	caller call
	// peer is the cluster whose proxy carries the requests here; empty: they are from applications of the own one.
	peer string
	// hostname, of a pod, is the only one that the peer wants.
	hostname string
	// lane and address are those of the peer's stream.
	lane, address string
	life          context.Context // for connections that are made for the requests
	attempts      *sync.WaitGroup
}

// cluster is the caller's.
func (o *origin) cluster(own string) string {
	if o.peer != "" {
		return o.peer
	}
	return own
}

// Stream is one stream that a peer opened for requests, and that was accepted.
type Stream struct {
	dial.Stream
	// Peer is the authenticated cluster.
	Peer string
	// Address is that of the peer's proxy, as this host sees it.
	Address string
	Key     balance.Key
	// Hostname, of a pod, is the only one that the peer wants.
	Hostname string
}

// New makes a Handler.
func New(cfg Config) *Handler {
	h := &Handler{
		cfg: cfg, http2: newTransport(endpointWindow), http2peers: newTransport(peerWindow), pool: newPool(cfg.Slots),
		budgets: make(map[balance.Key]*bounds.Budget),
		silent:  make(map[*front]context.CancelCauseFunc), closed: make(chan struct{}),
		buffers: sync.Pool{New: func() any { b := make([]byte, copyBuffer); return &b }},
	}
	h.server = newServer(http.HandlerFunc(h.serveHTTP), cfg.Log)
	h.inbound = newServer(http.HandlerFunc(h.serveHTTP), cfg.Log)
	h.inbound.MaxHeaderBytes += peerHeaderBytes
	h.http2peers.MaxResponseHeaderBytes += peerHeaderBytes
	return h
}

// errDraining ends connections that were silent so far.
var errDraining = errors.New("the proxy is draining")

// Serve carries the requests of one connection until it ends; it owns conn then. When the connection is not HTTP, Serve returns the
// bytes that it has read at once, with an empty result: the caller carries conn as TCP. Otherwise the result is how the connection
// ended, as in the access log; its requests have lines of their own.
func (h *Handler) Serve(ctx context.Context, conn relay.Conn, b listen.Binding, c Call) (first []byte, result string) {
	f := newFront(origin{Binding: b, caller: call{address: c.Caller}, life: c.Life, attempts: c.Attempts})
	kind, first, err := h.firstBytes(ctx, f, conn)
	switch {
	case errors.Is(err, errDraining) && len(first) > 0, err == nil && (kind == sniff.NotHTTP || h.draining.Load()):
		return first, "" // when it drains, the server takes no connections any more
	case err != nil:
		return nil, endSilent(conn, err)
	}
	if f.clientConn, err = newSocket(conn, h.cfg.Watch()); err != nil {
		return nil, access.Error
	}
	f.begins(kind, first)
	if at, err := netip.ParseAddrPort(c.Caller); err == nil {
		f.from.caller.locality = h.cfg.Table.Locate(at.Addr())
	}
	return nil, h.carry(ctx, f, h.server)
}

// ServeStream carries the requests of a peer's stream to endpoints of the own cluster until it ends. The result is how it ended.
func (h *Handler) ServeStream(ctx context.Context, s Stream, c Call) (result string) {
	f := newFront(origin{
		Binding: listen.Binding{Key: s.Key}, peer: s.Peer, hostname: s.Hostname, lane: laneOf(s), address: s.Address, life: c.Life,
		attempts: c.Attempts, caller: call{address: c.Caller},
	})
	conn := newPeerConn(s.Stream)
	f.clientConn = conn
	kind, first, err := h.firstBytes(ctx, f, conn)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, errDraining) && len(first) == 0:
		conn.end(true)
		return access.OK
	case err == nil && kind == sniff.NotHTTP, errors.Is(err, os.ErrDeadlineExceeded):
		conn.end(false)
		return access.Error
	case err != nil && !errors.Is(err, errDraining):
		conn.end(false)
		return access.ClientReset
	}
	f.begins(kind, first)
	return h.carry(ctx, f, h.inbound)
}

// carry has a server read the connection's requests.
func (h *Handler) carry(ctx context.Context, f *front, server *http.Server) (result string) {
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	abort := context.AfterFunc(ctx, func() {
		f.cancel(context.Cause(ctx))
		f.reset()
		_ = f.Close()
	})
	defer abort()
	listener := &oneConn{conn: f}
	_ = server.Serve(listener) // until it is accepted
	if listener.conn != nil {  // the proxy drains since its first bytes came: they may be a whole request
		last := newServer(server.Handler, h.cfg.Log)
		last.MaxHeaderBytes = server.MaxHeaderBytes
		last.SetKeepAlivesEnabled(false)
		_ = last.Serve(listener)
	}
	result = access.OK
	select {
	case <-f.done:
	case <-f.Broken(): // also while nothing reads
		f.reset()
		_ = f.Close()
		result = access.ClientReset
	}
	<-f.done
	<-f.served
	f.ending.Wait()
	if v := f.violation(); v != nil {
		h.cfg.Refused(f.from.Service, v)
		if !v.InBody { // no request was seen
			h.cfg.Finished(refusedEntry(h.cfg.Cluster, f, v))
		}
	}
	return result
}

// endSilent ends a connection on which nothing was requested, and names how it ended.
func endSilent(conn relay.Conn, why error) (result string) {
	switch {
	case errors.Is(why, io.EOF): // a client that connected ahead
		dial.Leave(conn)
		return access.OK
	case errors.Is(why, errDraining):
		dial.Leave(conn)
		return access.Stopped
	}
	_ = conn.SetLinger(0)
	_ = conn.Close()
	if errors.Is(why, os.ErrDeadlineExceeded) {
		return access.Idle
	}
	return access.ClientReset
}

// refuses is true when a connection's first request comes too late.
func (h *Handler) refuses(f *front) bool {
	if f.from.peer != "" {
		return h.drained.Load()
	}
	return h.draining.Load()
}

// firstBytes reads what shows what a connection is. Drain ends the wait.
func (h *Handler) firstBytes(ctx context.Context, f *front, conn net.Conn) (sniff.Protocol, []byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h.mu.Lock()
	h.silent[f] = cancel
	if h.refuses(f) {
		cancel(errDraining)
	}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.silent, f)
	}()
	return firstBytes(ctx, conn)
}

// Drain ends connections as soon as no request is under way on them, and takes no further requests. It waits for nothing. A peer that
// has just sent a request over an idle connection cannot know that it was not read, so those end a moment later: by then the peer
// has heard that the proxy drains, and uses them no more.
func (h *Handler) Drain(ctx context.Context) {
	h.mu.Lock()
	if !h.draining.Swap(true) {
		h.ending.Go(func() { h.endInbound(ctx) })
	}
	h.endSilentLocked()
	h.mu.Unlock()
	shutdown(ctx, h.server)
}

// endSilentLocked ends the wait for first bytes where it is over.
func (h *Handler) endSilentLocked() {
	for f, cancel := range h.silent {
		if h.refuses(f) {
			cancel(errDraining)
		}
	}
}

// endInbound ends the connections of peers that are not in use, peerDrainTime after the drain has begun.
func (h *Handler) endInbound(ctx context.Context) {
	select {
	case <-time.After(peerDrainTime):
	case <-h.closed:
	}
	h.mu.Lock()
	h.drained.Store(true)
	h.endSilentLocked()
	h.mu.Unlock()
	shutdown(ctx, h.inbound)
}

// shutdown takes no more requests of a server's connections and closes those that are idle; it does not wait for the others.
func shutdown(ctx context.Context, s *http.Server) {
	now, cancel := context.WithCancel(ctx)
	cancel()
	_ = s.Shutdown(now)
}

// Close closes the connections to endpoints that are not in use.
func (h *Handler) Close(ctx context.Context) {
	h.Drain(ctx)
	close(h.closed)
	h.ending.Wait()
	h.pool.close()
	h.leaving.close()
}

// budgetOf calls f with the retry budget of a service port.
func (h *Handler) budgetOf(k balance.Key, f func(*bounds.Budget)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.budgets[k]
	if b == nil {
		if len(h.budgets) >= manyBudgets {
			maps.DeleteFunc(h.budgets, func(k balance.Key, b *bounds.Budget) bool { return b.IsUnused() && !h.cfg.Table.Has(k) })
		}
		b = &bounds.Budget{Started: h.cfg.Started}
		h.budgets[k] = b
	}
	f(b)
}
