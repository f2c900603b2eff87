package serve

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/internal/descriptors"
	"github.com/eastway/eastway/internal/entry/route"
	"github.com/eastway/eastway/internal/pace"
)

// transports make connections to backends. Which endpoint serves a request, and what is tried again, is decided behind the address.
type transports struct {
	http1, h2c *http.Transport
	// brief is http1 for requests that are not sent again when their connection turns out to have ended: it keeps none for long.
	brief *http.Transport
	// secured are those of backends with TLS.
	secured secured
}

// to is the one for a request to a backend, which sees a client certificate if there is TLS.
func (t *transports) to(b *route.Backend, as *route.Certificate, r *http.Request) *http.Transport {
	if b.TLS != nil {
		t = t.secured.of(b.TLS, as)
	}
	switch {
	case b.Protocol == route.H2C:
		return t.h2c
	case isRepeatable(r):
		return t.http1
	}
	return t.brief
}

// isRepeatable is true if net/http's client sends the request again.
func isRepeatable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return r.Body == nil || r.Body == http.NoBody
	}
	return false
}

func (t *transports) closeIdle() {
	t.http1.CloseIdleConnections()
	t.brief.CloseIdleConnections()
	t.h2c.CloseIdleConnections()
	t.secured.prune(nil, nil)
}

func newTransports(gate descriptors.Gate) *transports {
	made := func() *http.Transport {
		return &http.Transport{
			DialContext: dialer(gate), DisableCompression: true, MaxIdleConnsPerHost: maxIdlePerBackend, IdleConnTimeout: backendIdle,
			ExpectContinueTimeout: continueTimeout, MaxResponseHeaderBytes: maxHeaderBytes, Protocols: new(http.Protocols),
			WriteBufferSize: copyBuffer, ReadBufferSize: copyBuffer,
		}
	}
	t := &transports{http1: made(), h2c: made(), brief: made(), secured: secured{gate: gate}}
	t.http1.Protocols.SetHTTP1(true)
	t.brief.Protocols.SetHTTP1(true)
	t.brief.IdleConnTimeout = briefIdle
	t.h2c.Protocols.SetUnencryptedHTTP2(true)
	t.h2c.HTTP2 = &http.HTTP2Config{
		MaxReceiveBufferPerStream: bodyWindow, SendPingTimeout: pingAfter, PingTimeout: pingTimeout,
	}
	return t
}

// dialError is that no connection to a backend was made.
type dialError struct{ error }

// Unwrap is for errors.Is.
func (e *dialError) Unwrap() error { return e.error }

// dialer tries again where a backend refuses at once: the address is that of a service, and the next endpoint may accept. The address of an
// endpoint is tried once. It leaves the reserve of descriptors alone.
func dialer(gate descriptors.Gate) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialBackend(ctx, &net.Dialer{Timeout: dialTimeout, Control: gate.Control}, network, address)
	}
}

func dialBackend(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error) {
	for n := 1; ; n++ {
		c, err := d.DialContext(ctx, network, address)
		if err == nil {
			return c, nil
		}
		_, endpoint := ctx.Value(endpointKey{}).(bool)
		if timeout, ok := errors.AsType[net.Error](err); endpoint || n == maxDials || ok && timeout.Timeout() || !pace.Sleep(ctx, dialPause) {
			return nil, &dialError{err}
		}
	}
}

// newProxy makes what requests have in common.
func newProxy(log *zap.Logger, b buffers) httputil.ReverseProxy {
	out := zap.NewStdLog(log)
	out.SetOutput(errorLog{log.Named("http")})
	return httputil.ReverseProxy{BufferPool: b, ErrorLog: out}
}

// errorLog takes what net/http logs: faults of clients and backends, which are counted and logged otherwise, and panics, which are faults
// of this process.
type errorLog struct{ log *zap.Logger }

// Write implements io.Writer.
func (l errorLog) Write(p []byte) (int, error) {
	level := zap.DebugLevel
	if bytes.Contains(p, []byte("panic serving")) {
		level = zap.ErrorLevel
	}
	l.log.Log(level, "net/http", zap.ByteString("text", bytes.TrimSpace(p)))
	return len(p), nil
}

// buffers are those that carry answers.
type buffers struct{ pool *sync.Pool }

func newBuffers() buffers {
	return buffers{&sync.Pool{New: func() any { b := make([]byte, copyBuffer); return &b }}}
}

// Get implements httputil.BufferPool.
func (b buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, copyBuffer)
}

// Put implements httputil.BufferPool.
func (b buffers) Put(p []byte) { b.pool.Put(&p) }

// forward sends the request to its backend, and the answer to the client.
func (e *exchange) forward(of context.Context) {
	d := &e.decision
	e.entry.Service = d.Backend.Service.String()
	ctx, cancel := context.WithCancelCause(of)
	defer cancel(nil)
	if t := shorter(d.Timeouts.Request, d.Timeouts.BackendRequest); t > 0 {
		e.timer = time.AfterFunc(t, func() {
			cancel(errTimeout)
			if e.body != nil {
				e.body.expire() // who reads it does not see the context
			}
		})
		defer e.timer.Stop()
	}
	dropH2C(e.r.Header)
	proxy := e.server.proxy
	proxy.Rewrite, proxy.ErrorHandler, proxy.ModifyResponse = e.rewrite, e.failed, e.accepted
	proxy.Transport = &call{by: e.server.transports, to: d.Backend, as: e.client(), calls: func(address string) { e.entry.Endpoint = address }}
	whole := false
	defer func() { // the proxy panics if the answer ends early
		if !whole && e.entry.Result == "" && errors.Is(context.Cause(ctx), errTimeout) {
			e.entry.Result, e.entry.Ended = access.Timeout, string(timedOut)
			e.server.refuse(timedOut, e.subject(), "the answer had begun")
		}
	}()
	proxy.ServeHTTP(e.w, e.r.WithContext(ctx))
	whole = true
}

// client is the certificate that backends with TLS see; nil: none.
func (e *exchange) client() *route.Certificate {
	if l := e.decision.Listener; l != nil {
		return l.Client
	}
	return nil
}

// accepted is called with the head of the backend's answer.
func (e *exchange) accepted(resp *http.Response) error {
	e.entry.Accepted = time.Since(e.began)
	if resp.StatusCode == http.StatusSwitchingProtocols { // other answers are edited when they are written
		edit(resp.Header, e.decision.Response)
	}
	if len(resp.Trailer) > 0 && e.r.ProtoMajor == 1 { // HTTP/1.1 has trailers after chunks alone
		resp.Header.Del("Content-Length")
	}
	return nil
}

// shorter is the shorter of two times; zero is none.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// dropH2C removes an offer to go on in HTTP/2, which this process would not understand afterwards.
func dropH2C(h http.Header) {
	for _, v := range h.Values("Upgrade") {
		if strings.Contains(strings.ToLower(v), "h2c") {
			h.Del("Upgrade")
			h.Del("Http2-Settings")
			return
		}
	}
}

// rewrite makes what the backend gets.
func (e *exchange) rewrite(p *httputil.ProxyRequest) {
	d, out := &e.decision, p.Out
	out.URL.Scheme, out.URL.Host = "http", d.Backend.Address // call has those of TLS, and of endpoints
	out.URL.RawQuery = p.In.URL.RawQuery                     // as it came, with what Go cannot parse
	e.trailers(p)
	if d.Host != "" {
		out.Host = d.Host
	}
	if d.Path != "" {
		if path, err := url.PathUnescape(d.Path); err == nil {
			out.URL.Path, out.URL.RawPath = path, d.Path
		}
	}
	e.vouch(p)
	edit(out.Header, d.Request)
	once(out)
	e.mirror(p)
	if e.body != nil {
		e.body.pace.streams = isGRPC(e.r, d.Backend) // not before: copies for mirrors wait for the body
	}
}

// vouch says who called. What others say of that is passed on if they are trusted. Names with underscores, which some servers take for
// hyphens, never are.
func (e *exchange) vouch(p *httputil.ProxyRequest) {
	for name := range p.Out.Header {
		if strings.Contains(name, "_") && isOneOf(name, forwarding()) {
			delete(p.Out.Header, name)
		}
	}
	for _, name := range forwarding() {
		delete(p.Out.Header, name)
		if said := p.In.Header[name]; e.front.trusted && len(said) > 0 {
			p.Out.Header[name] = said
		}
	}
	host, proto := p.Out.Header["X-Forwarded-Host"], p.Out.Header["X-Forwarded-Proto"]
	p.SetXForwarded()
	if len(host) > 0 {
		p.Out.Header["X-Forwarded-Host"] = host
	}
	if len(proto) > 0 {
		p.Out.Header["X-Forwarded-Proto"] = proto
	}
}

// once keeps net/http's client from sending a request a second time by itself because of a header, when it does not know whether the backend
// has executed it. It looks for the canonical name; on the wire the case is all the same.
func once(r *http.Request) {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, ok := r.Header[name]; ok {
			delete(r.Header, name)
			r.Header[strings.ToLower(name)] = values
		}
	}
}
