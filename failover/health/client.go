package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/version"
)

// Endpoint is what is checked.
type Endpoint struct {
	Address netip.AddrPort
	// Proxied: it expects the header of the PROXY protocol.
	Proxied bool
	// TLS is what it gets, nil: nothing is added; Host is its DNS name, and HTTP1 or HTTP2 what is going to be spoken.
	TLS          *discovery.TLS
	Host         string
	HTTP1, HTTP2 bool
}

// Dial connects to an endpoint. Its connections end clean when they are closed.
type Dial func(ctx context.Context, endpoint Endpoint) (net.Conn, error)

// client makes checks. Each has a connection of its own, so that accepting is checked too and none is kept.
type client struct {
	dial         Dial
	agent        string
	http1, http2 *http.Transport
}

func newClient(dial Dial) *client {
	return &client{dial: dial, agent: "eastway-health/" + version.Get().Version, http1: newTransport(false), http2: newTransport(true)}
}

// connKey is where a context has the connection that a client connection is made of.
type connKey struct{}

func newTransport(h2 bool) *http.Transport {
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, ok := ctx.Value(connKey{}).(net.Conn)
			if !ok {
				return nil, errors.New("health: a connection that nothing dialed") // not reached
			}
			return conn, nil
		},
		DisableCompression: true, MaxResponseHeaderBytes: maxHeaderBytes,
		HTTP2:     &http.HTTP2Config{MaxReceiveBufferPerStream: maxHeaderBytes, MaxReceiveBufferPerConnection: 64 << 10},
		Protocols: new(http.Protocols),
	}
	t.Protocols.SetHTTP1(!h2)
	t.Protocols.SetUnencryptedHTTP2(h2)
	return t
}

// check returns nil when the endpoint passes; else the error is the reason, for people.
func (c *client) check(ctx context.Context, p *plan, endpoint netip.AddrPort) error {
	if p.port != 0 {
		endpoint = netip.AddrPortFrom(endpoint.Addr(), p.port)
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	conn, err := c.dial(ctx, Endpoint{
		Address: endpoint, Proxied: p.proxied, TLS: p.tls, Host: p.host, HTTP1: p.kind == kindHTTP, HTTP2: p.kind == kindGRPC,
	})
	if err != nil {
		return &connectError{p.cause(err), err}
	}
	defer func() { _ = conn.Close() }()
	switch p.kind {
	case kindHTTP:
		return c.checkHTTP(ctx, p, endpoint, conn)
	case kindGRPC:
		return c.checkGRPC(ctx, p, endpoint, conn)
	default:
		return nil
	}
}

// checkHTTP makes one request.
func (c *client) checkHTTP(ctx context.Context, p *plan, endpoint netip.AddrPort, conn net.Conn) error {
	req, err := http.NewRequestWithContext(ctx, p.method, "http://"+endpoint.String()+p.path, nil)
	if err != nil {
		return err
	}
	status := 0
	err = c.call(c.http1, conn, p, req, func(resp *http.Response) error {
		status = resp.StatusCode
		_, _ = io.CopyN(io.Discard, resp.Body, maxBodyBytes) // what counts is the status
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: %w", p.method, p.path, p.cause(err))
	case !p.expects(status):
		return fmt.Errorf("%s %s: %d", p.method, p.path, status)
	}
	return nil
}

// call makes a request on conn and has its answer read.
func (c *client) call(t *http.Transport, conn net.Conn, p *plan, req *http.Request, read func(*http.Response) error) error {
	cc, err := t.NewClientConn(context.WithValue(req.Context(), connKey{}, conn), "http", req.URL.Host)
	if err != nil {
		return err
	}
	defer func() { _ = cc.Close() }()
	req.Close = true
	req.Host = p.authority
	req.Header.Set("User-Agent", c.agent)
	resp, err := cc.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return read(resp)
}

// connectError is a failed connect; what it wraps tells more than its text.
type connectError struct{ cause, err error }

func (e *connectError) Error() string { return "connect: " + e.cause.Error() }
func (e *connectError) Unwrap() error { return e.err }

// cause is an error in a form that stays the same while the endpoint fails alike, without addresses and ports.
func (p *plan) cause(err error) error {
	var network net.Error
	var number syscall.Errno
	var brief interface{ Brief() string }
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return fmt.Errorf("no answer within %s", p.timeout)
	case errors.As(err, &brief):
		return errors.New(brief.Brief())
	case errors.As(err, &number):
		return number
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("closed without an answer")
	default:
		return errors.New(strings.TrimPrefix(err.Error(), "net/http: HTTP/1.x transport connection broken: "))
	}
}
