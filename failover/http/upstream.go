package http

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/http/conn"
	"github.com/eastway/eastway/failover/http/sniff"
	"github.com/eastway/eastway/failover/slots"
	"github.com/eastway/eastway/internal/relay"
)

// target is what connections are kept for: requests to one service port, at one place.
type target struct {
	key     balance.Key
	address balance.Address
	h2      bool
	// caller is the only one whose requests a stream carries to a peer that does not carry them one by one: its endpoint may be shown, by
	// the PROXY protocol, who opened the stream.
	caller string
}

// keep is how long a connection may be unused; policy is what the TrafficPolicy has, 0 if it has nothing.
func (t *target) keep(policy time.Duration) time.Duration {
	switch {
	case t.caller != "":
		return min(cmp.Or(policy, callerIdleTimeout), callerIdleTimeout)
	case t.address.Peer != "":
		return min(cmp.Or(policy, streamIdleTimeout), streamIdleTimeout)
	}
	return cmp.Or(policy, idleTimeout)
}

// mostIdle is how many unused connections are kept.
func (t *target) mostIdle() int {
	if t.address.Peer != "" {
		return maxIdleStreams
	}
	return maxIdlePerTarget
}

// upstream is a connection to an endpoint, its own or through a peer.
type upstream struct {
	target target
	at     balance.Candidate // as it was when the connection was made; its TLS serves requests that are to get that one
	wire   *wire
	client client
	// idle is how long it may be unused, timer closes it then; the pool's lock guards them.
	idle  time.Duration
	timer *time.Timer
	// since is when its last request ended; the pool's lock guards it.
	since time.Time
	// requests is how many it got, of most (0: any number); keep is how long the policy lets it be unused.
	requests, most int
	keep           time.Duration
}

// client is how requests are sent on a connection, see http.ClientConn. interim gets the interim answers.
type client interface {
	RoundTrip(r *http.Request, interim conn.Interim) (*http.Response, error)
	Reserve() error
	Release()
	Available() int
	InFlight() int
	Err() error
	Close() error
}

// http2Conn is the client of HTTP/2.
type http2Conn struct{ *http.ClientConn }

// RoundTrip implements client.
func (c http2Conn) RoundTrip(r *http.Request, interim conn.Interim) (*http.Response, error) {
	return c.ClientConn.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: interim})))
}

// worn is true when it has had all the requests that it may get.
func (u *upstream) worn() bool { return u.most > 0 && u.requests >= u.most }

// close ends a connection on which no request is under way. The end of TLS is written, which may take a while.
func (u *upstream) close() {
	if u.wire.unused.Store(true); u.at.TLS == nil {
		_ = u.client.Close()
	} else {
		u.wire.leaving.ending.Go(func() { _ = u.client.Close() })
	}
	u.wire.slot.Close() // at the latest
}

// wire is the connection as a client uses it. It counts what was written, so that "nothing was sent" is known: of HTTP/1 an error comes
// after a write that was under way.
type wire struct {
	net.Conn
	written atomic.Int64
	unused  atomic.Bool // no request is under way: it ends clean
	body    atomic.Pointer[tryBody]
	leaving *leaving
	slot    *slots.Slot     // nil for a stream to a peer
	first   *sniff.Settings // nil: what others may have of the connection is known
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	if w.first == nil {
		return w.Conn.Read(p)
	}
	return w.first.Read(w.Conn, p)
}

// Pending is for package conn, which looks before it writes: true if an endpoint has sent something, or ended the connection.
func (w *wire) Pending() bool {
	s, ok := w.Conn.(*socket)
	return ok && relay.Pending(s.relay)
}

// Close implements net.Conn. It ends the body of HTTP/1 that is being sent, for which package conn waits.
func (w *wire) Close() error {
	if b := w.body.Load(); b != nil {
		_ = b.Close()
	}
	if s, ok := w.Conn.(streamConn); ok && w.unused.Load() {
		w.leaving.leave(s)
		return nil
	}
	defer w.slot.Close()
	return w.Conn.Close()
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	if s, ok := w.Conn.(streamConn); ok { // a write that fails may have sent a part of a record all the same
		w.written.Add(int64(len(p)))
		n, err := s.Write(p)
		if err != nil {
			s.awaitAnswer()
		}
		return n, err
	}
	n, err := w.Conn.Write(p)
	w.written.Add(int64(n))
	return n, err
}

// isUnused is true when the other end of a stream has used nothing of what was written.
func (w *wire) isUnused() bool {
	s, ok := w.Conn.(streamConn)
	return ok && dial.Unused(s.Stream)
}

// isPlain is true for a stream whose other end carries it as TCP, to an endpoint.
func (w *wire) isPlain() bool {
	s, ok := w.Conn.(streamConn)
	if !ok {
		return false
	}
	select {
	case <-s.Answered():
		return !s.Answer().GetHttp()
	default: // not known yet
		return false
	}
}

// retired is true for a stream over which nothing more is to be sent.
func (w *wire) retired() bool {
	s, ok := w.Conn.(streamConn)
	return ok && s.Retired()
}

// CloseWrite ends the write side of an upgraded connection.
func (w *wire) CloseWrite() error {
	if c, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return fmt.Errorf("failover: half-close: %w", errors.ErrUnsupported)
}

// wireKey is where a context has the connection that a client connection is made of.
type wireKey struct{}

// newTransport makes HTTP/2 connections of wires; its own pool is not used. A request takes up to window bytes while its client does not
// read.
func newTransport(window int) *http.Transport {
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			w, ok := ctx.Value(wireKey{}).(*wire)
			if !ok {
				return nil, errors.New("failover: a connection that nothing dialed") // not reached
			}
			return w, nil
		},
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaderBytes,
		HTTP2:                  &http.HTTP2Config{MaxReceiveBufferPerStream: window},
		Protocols:              new(http.Protocols),
	}
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// clientConn speaks HTTP on a connection that a candidate accepted.
func (h *Handler) clientConn(ctx context.Context, t target, c *dial.Conn, slot *slots.Slot) (*upstream, error) {
	w := &wire{leaving: &h.leaving, slot: slot}
	if c.Stream != nil {
		w.Conn = streamConn{c.Stream}
	} else {
		s, err := newSocket(c.Socket, h.cfg.Watch())
		if err != nil {
			return nil, err
		}
		w.Conn = s
	}
	u := &upstream{target: t, at: c.Candidate, wire: w, idle: idleTimeout, keep: idleTimeout}
	if !t.h2 {
		most := int64(maxHeaderBytes)
		if c.Stream != nil {
			most += peerHeaderBytes
		}
		u.client = conn.New(w, most)
		return u, nil
	}
	transport := h.http2peers
	if c.Stream == nil {
		transport, w.first = h.http2, new(sniff.Settings)
	}
	client, err := transport.NewClientConn(context.WithValue(ctx, wireKey{}, w), "http", "endpoint:80")
	if err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("failover: speak HTTP to %s: %w", c.Candidate, err)
	}
	if slot != nil { // net/http counts a request for a while that has ended
		client.SetStateHook(func(*http.ClientConn) { slot.Nudge() })
	}
	u.client = http2Conn{client}
	return u, nil
}
