package httpserve

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/pace"
	"github.com/eastway/eastway/internal/shortage"
	"github.com/eastway/eastway/internal/source"
	"github.com/eastway/eastway/internal/tally"
)

// listener bounds the connections of a server by a table.
type listener struct {
	net.Listener

	log     *zap.Logger
	evicted prometheus.Counter
	short   *shortage.Accepts
	closing func() // ends Accept's pauses
	closed  chan struct{}

	mu    sync.Mutex
	table *table
	conns map[*slot]*conn
	full  tally.Tally
	last  netip.Prefix // source of the connection that was closed last, to admit another one
}

func newListener(l net.Listener, maxConns int, log *zap.Logger, reg prometheus.Registerer) *listener {
	closed := make(chan struct{})
	return &listener{
		Listener: l, log: log, evicted: evictedMetric(reg), table: newTable(maxConns), conns: make(map[*slot]*conn, maxConns),
		short:  shortage.NewAccepts("HTTP listener "+l.Addr().String(), log, reg),
		closed: closed, closing: sync.OnceFunc(func() { close(closed) }),
	}
}

// conn is a connection with its place in the table.
type conn struct {
	net.Conn

	listener *listener
	slot     *slot
	began    time.Time
}

// Accept admits the next connection and closes the one that has to make room for it.
func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.next()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	now := time.Now()
	added, victim := l.table.admit(source.Of(raw.RemoteAddr()), now)
	admitted := &conn{Conn: raw, listener: l, slot: added, began: now}
	l.conns[added] = admitted
	evicted := l.conns[victim]
	delete(l.conns, victim)
	l.mu.Unlock()
	if evicted != nil {
		_ = evicted.Conn.Close() // its server goroutine notices, and ends
		l.reportFull(evicted)
	}
	return admitted, nil
}

// next is the listener's next connection. An error is that of a listener which is closed: whatever else there is, such as no descriptor,
// no memory, or a firewall that forbids the connection, passes.
func (l *listener) next() (net.Conn, error) {
	for failures := 1; ; failures++ {
		raw, err := l.Listener.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return raw, err
		}
		l.short.Failed(err)
		select {
		case <-l.closed:
			return nil, net.ErrClosed
		case <-time.After(pace.Backoff(failures, acceptBackoffMin, acceptBackoffMax)):
		}
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.closing()
	return l.Listener.Close()
}

// remedy is what an operator can do about a listener that is full.
const remedy = "stop what keeps connections to it open"

// reportFull counts that the table is full, and logs it from time to time.
func (l *listener) reportFull(evicted *conn) {
	l.evicted.Inc()
	l.mu.Lock()
	closed := l.full.Note(time.Now(), 1)
	l.last = evicted.slot.source
	l.mu.Unlock()
	if closed > 0 {
		l.log.Warn("HTTP listener is full: connections of the source with the most were closed to admit others",
			zap.Stringer("listener", l.Addr()), zap.Stringer("source", evicted.slot.source),
			zap.Uint64("closed", closed), zap.Int("limit", l.table.max), zap.String("remedy", remedy))
	}
}

// problem is that the table was full lately, for the operator; "" if not.
func (l *listener) problem(now time.Time) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full.Over(now) {
		return ""
	}
	return fmt.Sprintf("HTTP listener %s is full: %d connections closed to admit others, at most %d are held (last %v ago, from %s): %s",
		l.Addr(), l.full.Recent, l.table.max, now.Sub(l.full.Last).Truncate(time.Second), l.last, remedy)
}

// Close frees the connection's place.
func (c *conn) Close() error {
	l := c.listener
	l.mu.Lock()
	l.table.remove(c.slot)
	delete(l.conns, c.slot)
	l.mu.Unlock()
	return c.Conn.Close()
}

func (c *conn) setBusy(busy bool) {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.slot.busy, c.slot.since = busy, time.Now()
}

// admitted is what Accept returned, also below TLS.
func admitted(c net.Conn) (*conn, bool) {
	if secured, ok := c.(*tls.Conn); ok {
		c = secured.NetConn()
	}
	a, ok := c.(*conn)
	return a, ok
}

// connKey is the context key of a request's *conn.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	if a, ok := admitted(c); ok {
		return context.WithValue(ctx, connKey{}, a)
	}
	return ctx
}

// serving marks connections busy from the end of a request's header. The response may still be buffered when the handler
// returns: idle ends the mark.
func serving(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			c.setBusy(true)
		}
		next.ServeHTTP(w, r)
	})
}

// renewed lets a connection that is older than tlsConnLife end with its next response: the client sees that in it, and loses nothing.
func renewed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok && time.Since(c.began) > tlsConnLife {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// idle is the server's ConnState hook.
func idle(c net.Conn, state http.ConnState) {
	if a, ok := admitted(c); ok && state == http.StateIdle {
		a.setBusy(false)
	}
}

// connErrors is the log of net/http's server. Clients can fail as many handshakes as they like.
type connErrors struct {
	log   *zap.Logger
	other io.Writer
}

func (c *connErrors) Write(line []byte) (int, error) {
	if bytes.HasPrefix(line, []byte("http: TLS handshake error ")) {
		c.log.Debug("TLS handshake failed", zap.String("error", strings.TrimSpace(string(line))))
		return len(line), nil
	}
	return c.other.Write(line)
}
