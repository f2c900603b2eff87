package originate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/eastway/eastway/internal/relay"
)

// Protocols of ALPN, RFC 7301.
const (
	HTTP1 = "http/1.1"
	HTTP2 = "h2"
	// AnyHTTP is both: nothing is going to be spoken.
	AnyHTTP = HTTP2 + "," + HTTP1
)

// handshake is one with an endpoint.
type handshake struct {
	server, alpn string
	want         *expectation
	// sessions may be nil: none is resumed; certificate too: we have none.
	sessions    tls.ClientSessionCache
	certificate func() (*tls.Certificate, error)

	// requested: the endpoint has requested a certificate.
	requested atomic.Bool
}

// run returns a connection that is ready for bytes of the application.
func (h *handshake) run(ctx context.Context, raw relay.Conn) (*Conn, error) {
	heard := &heard{ClientSessionCache: h.sessions}
	conn := newConn(raw, h.config(heard))
	began := time.Now()
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	if got := conn.ConnectionState().NegotiatedProtocol; h.alpn == HTTP2 && got != h.alpn {
		return nil, fmt.Errorf("the endpoint has chosen the protocol %q, HTTP/2 needs h2", got)
	}
	if h.requested.Load() && conn.ConnectionState().Version >= tls.VersionTLS13 {
		if err := h.confirm(ctx, conn, heard, 2*time.Since(began)); err != nil {
			return nil, err
		}
	}
	return conn, nil
}

// config is that of package tls. What it verifies by itself is one name and the roots; verify does that, and other names, on resumed
// sessions too.
func (h *handshake) config(sessions tls.ClientSessionCache) *tls.Config {
	c := &tls.Config{
		ServerName: h.server, MinVersion: tls.VersionTLS12, ClientSessionCache: sessions, Time: h.want.now,
		VerifyConnection: h.want.verify,
	}
	c.InsecureSkipVerify = true // VerifyConnection does it all
	if h.alpn != "" {
		c.NextProtos = strings.Split(h.alpn, ",")
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		h.requested.Store(true)
		if h.certificate == nil {
			return new(tls.Certificate), nil // none
		}
		return h.certificate()
	}
	return c
}

// confirm waits until the endpoint has judged our certificate, or that there is none. In TLS 1.3 the client is done before that: a refusal
// would come when the application's bytes are out. An endpoint that takes it usually sends a session ticket or its first bytes; one that
// sends nothing within that time is taken to have accepted, and its refusal, if it comes later, ends the connection. The wait ends before ctx
// does: the handshake is done, and the connection good.
func (h *handshake) confirm(ctx context.Context, conn *Conn, heard *heard, within time.Duration) error {
	until := time.Now().Add(min(max(within, confirmLeast), confirmMost))
	if deadline, ok := ctx.Deadline(); ok {
		if half := time.Now().Add(time.Until(deadline) / 2); half.Before(until) {
			until = half
		}
	}
	if err := conn.SetReadDeadline(until); err != nil {
		return err
	}
	if heard.waitWith(func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) }) {
		return conn.SetReadDeadline(time.Time{})
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	first := make([]byte, 1)
	n, err := conn.Conn.Read(first)
	stop()
	heard.waitWith(nil)
	conn.first = first[:n]
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Cause(ctx)
	case err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, io.EOF): // an end comes again
		return err
	}
	return conn.SetReadDeadline(time.Time{})
}

// reason is what err, which ended the handshake, is about.
func (h *handshake) reason(err error) Reason {
	if h.requested.Load() && isRefusal(err) {
		return ClientCertificate
	}
	return reasonOf(err)
}

// heard is a cache of sessions that notices the first ticket: the endpoint has then taken what we sent.
type heard struct {
	tls.ClientSessionCache
	state atomic.Pointer[func()]
	came  atomic.Bool
}

// Get implements tls.ClientSessionCache.
func (h *heard) Get(key string) (*tls.ClientSessionState, bool) {
	if h.ClientSessionCache == nil {
		return nil, false
	}
	return h.ClientSessionCache.Get(key)
}

// Put implements tls.ClientSessionCache.
func (h *heard) Put(key string, s *tls.ClientSessionState) {
	h.came.Store(true)
	if call := h.state.Load(); call != nil && *call != nil {
		(*call)()
	}
	if h.ClientSessionCache != nil {
		h.ClientSessionCache.Put(key, s)
	}
}

// waitWith has call called with the first ticket; it returns true when that has come before.
func (h *heard) waitWith(call func()) bool {
	h.state.Store(&call)
	return h.came.Load()
}
