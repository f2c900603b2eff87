package originate

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/eastway/eastway/internal/relay"
)

// errCut is what reading gives when the endpoint ended the connection and not TLS. package tls takes that for an end between two records,
// so that anyone on the path could cut an answer short.
var errCut = fmt.Errorf("the endpoint closed the connection without ending TLS (close_notify), what it sent may be incomplete: %w", relay.ErrReset)

// Conn is TLS on a connection to an endpoint. CloseWrite sends close_notify, and the end of what is read is the endpoint's close_notify:
// without it the connection counts as reset.
type Conn struct {
	*tls.Conn
	edge *edge
	raw  relay.Conn
	// clean: Close ends TLS and sends everything; else it resets.
	clean atomic.Bool
	first []byte // was read to learn whether the endpoint takes our certificate
}

// edge is the connection below TLS.
type edge struct {
	relay.Conn
	// ending: close_notify goes out as data does, behind what was written before, for as long as the endpoint takes to read that. Package
	// tls gives it five seconds, and the endpoint would then see everything but an end.
	ending atomic.Bool
}

// SetWriteDeadline implements net.Conn, for package tls.
func (e *edge) SetWriteDeadline(t time.Time) error {
	if e.ending.Load() {
		return nil
	}
	return e.Conn.SetWriteDeadline(t)
}

// Read implements net.Conn.
func (e *edge) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	if err == io.EOF { //nolint:errorlint // net.Conn returns io.EOF itself
		err = errCut
	}
	return n, err
}

// newConn does not begin the handshake.
func newConn(raw relay.Conn, c *tls.Config) *Conn {
	e := &edge{Conn: raw}
	return &Conn{Conn: tls.Client(e, c), edge: e, raw: raw}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	if n := copy(p, c.first); n > 0 {
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// CloseWrite implements relay.Conn. It waits as Write does.
func (c *Conn) CloseWrite() error {
	c.edge.ending.Store(true)
	return c.Conn.CloseWrite()
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.raw.SetWriteDeadline(t) }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.raw.SetDeadline(t) }

// SetLinger implements relay.Conn.
func (c *Conn) SetLinger(sec int) error {
	c.clean.Store(sec != 0)
	return c.raw.SetLinger(sec)
}

// Close implements net.Conn: it ends TLS and then the connection, or resets it, as SetLinger says; without that it resets.
func (c *Conn) Close() error {
	if c.clean.Load() && !c.edge.ending.Load() {
		return c.Conn.Close()
	}
	return c.raw.Close() // close_notify is out, or has waited long enough
}

// NetConn is the connection below TLS, for what applies to its socket.
func (c *Conn) NetConn() net.Conn { return c.raw }

// Broken is that of a connection below that is no socket, see relay.Conn; nil: a reset is noticed by reading and writing.
func (c *Conn) Broken() <-chan struct{} {
	if below, ok := c.raw.(interface{ Broken() <-chan struct{} }); ok {
		return below.Broken()
	}
	return nil
}
