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
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/http/h1"
	"github.com/eastway/eastway/failover/listen"
	"github.com/eastway/eastway/internal/relay"
)

// Config is what a Handler needs; all of it.
type Config struct {
	// Cluster is the name of the own one.
	Cluster string
	// Log gets what net/http has to report.
	Log    *zap.Logger
	Table  *balance.Table
	Dialer *dial.Dialer
	// Budget bounds all attempts of one try to connect.
	Budget time.Duration
	// Watch notices resets of sockets; it may return nil.
	Watch func() *relay.Watch
	// Finished is called with each request that has ended.
	Finished func(*access.Entry)
	// Refused is called with each request that is not well-formed.
	Refused func(service discovery.ServiceName, v *h1.Violation)
	// OverBudget is called when a request is not sent once more because too many are.
	OverBudget func(service discovery.ServiceName)
	// Retried is called with each further try of a request, and what made it necessary.
	Retried func(service discovery.ServiceName, reason string)
}

// Handler carries the requests of applications.
type Handler struct {
	cfg          Config
	server       *http.Server
	http1, http2 *http.Transport
	pool         *pool
	buffers      sync.Pool

	mu       sync.Mutex
	budgets  map[balance.Key]*budget
	draining bool
	silent   map[*front]context.CancelCauseFunc // connections of which nothing was read yet
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
	locality discovery.Locality
}

// New makes a Handler.
func New(cfg Config) *Handler {
	h := &Handler{
		cfg: cfg, http1: newTransport(false), http2: newTransport(true), pool: newPool(),
		budgets: make(map[balance.Key]*budget), silent: make(map[*front]context.CancelCauseFunc),
		buffers: sync.Pool{New: func() any { b := make([]byte, copyBuffer); return &b }},
	}
	h.server = newServer(http.HandlerFunc(h.serveHTTP), cfg.Log)
	return h
}

// errDraining ends connections that were silent so far.
var errDraining = errors.New("the proxy is draining")

// Serve carries the requests of one connection until it ends; it owns conn then. When the connection is not HTTP, Serve returns the
// bytes that it has read at once, with an empty result: the caller carries conn as TCP. Otherwise the result is how the connection
// ended, as in the access log; its requests have lines of their own.
func (h *Handler) Serve(ctx context.Context, conn relay.Conn, b listen.Binding, c Call) (first []byte, result string) {
	f := &front{call: c, done: make(chan struct{}), served: make(chan struct{})}
	kind, first, err := h.firstBytes(ctx, f, conn)
	switch {
	case errors.Is(err, errDraining) && len(first) > 0, err == nil && (kind == notHTTP || h.isDraining()):
		return first, "" // when it drains, the server takes no connections any more
	case err != nil:
		return nil, endSilent(conn, err)
	}
	if f.socket, err = newSocket(conn, h.cfg.Watch()); err != nil {
		return nil, access.Error
	}
	f.ctx, f.cancel = context.WithCancel(ctx)
	f.begins(kind, first)
	f.from.Binding = b
	if at, err := netip.ParseAddrPort(c.Caller); err == nil {
		f.from.locality = h.cfg.Table.Locate(at.Addr())
	}
	abort := context.AfterFunc(ctx, func() {
		f.reset()
		_ = f.Close()
	})
	defer abort()
	listener := &oneConn{conn: f}
	_ = h.server.Serve(listener) // until it is accepted
	if listener.conn != nil {    // it was not: the proxy drains
		_ = f.Close()
		close(f.served)
	}
	result = access.OK
	select {
	case <-f.done:
	case <-f.relay.Broken(): // also while nothing reads
		f.reset()
		_ = f.Close()
		result = access.ClientReset
	}
	<-f.done
	<-f.served
	if v := f.violation(); v != nil {
		h.cfg.Refused(b.Service, v)
		if !v.InBody { // no request was seen
			h.cfg.Finished(refusedEntry(h.cfg.Cluster, f, v))
		}
	}
	return nil, result
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

func (h *Handler) isDraining() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.draining
}

// firstBytes reads what shows what a connection is. Drain ends the wait.
func (h *Handler) firstBytes(ctx context.Context, f *front, conn net.Conn) (protocol, []byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h.mu.Lock()
	h.silent[f] = cancel
	if h.draining {
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

// Drain ends connections as soon as no request is under way on them, and takes no further requests. It waits for nothing.
func (h *Handler) Drain(ctx context.Context) {
	h.mu.Lock()
	h.draining = true
	for _, cancel := range h.silent {
		cancel(errDraining)
	}
	h.mu.Unlock()
	now, cancel := context.WithCancel(ctx)
	cancel()
	_ = h.server.Shutdown(now)
}

// Close closes the connections to endpoints that are not in use.
func (h *Handler) Close(ctx context.Context) {
	h.Drain(ctx)
	h.pool.close()
}

// budgetOf calls f with the retry budget of a service port.
func (h *Handler) budgetOf(k balance.Key, f func(*budget)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.budgets[k]
	if b == nil {
		if len(h.budgets) >= manyBudgets {
			maps.DeleteFunc(h.budgets, func(k balance.Key, b *budget) bool { return b.retries == 0 && !h.cfg.Table.Has(k) })
		}
		b = &budget{}
		h.budgets[k] = b
	}
	f(b)
}
