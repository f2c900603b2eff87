package httpserve

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

// listener bounds the connections of a server by a table.
type listener struct {
	net.Listener

	log *zap.Logger

	mu     sync.Mutex
	table  *table
	conns  map[*slot]*conn
	closed int       // to admit others, since the last report
	report time.Time // when to log the next one
}

func newListener(l net.Listener, maxConns int, log *zap.Logger) *listener {
	return &listener{Listener: l, log: log, table: newTable(maxConns), conns: make(map[*slot]*conn, maxConns)}
}

// conn is a connection with its place in the table.
type conn struct {
	net.Conn

	listener *listener
	slot     *slot
}

// Accept admits the next connection and closes the one that has to make room for it.
func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	added, victim := l.table.admit(source(raw.RemoteAddr()), time.Now())
	admitted := &conn{Conn: raw, listener: l, slot: added}
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

// reportFull logs that the table is full, at most once per fullReportInterval.
func (l *listener) reportFull(evicted *conn) {
	now := time.Now()
	l.mu.Lock()
	l.closed++
	closed, due := l.closed, !now.Before(l.report)
	if due {
		l.closed, l.report = 0, now.Add(fullReportInterval)
	}
	l.mu.Unlock()
	if due {
		l.log.Warn("HTTP listener is full: connections of the source with the most were closed to admit others",
			zap.Stringer("listener", l.Addr()), zap.Stringer("source", evicted.slot.source),
			zap.Int("closed", closed), zap.Int("limit", l.table.max))
	}
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

// connKey is the context key of a request's *conn.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
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

// idle is the server's ConnState hook.
func idle(c net.Conn, state http.ConnState) {
	if c, ok := c.(*conn); ok && state == http.StateIdle {
		c.setBusy(false)
	}
}
