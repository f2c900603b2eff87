package serve

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"syscall"

	"github.com/eastway/eastway/internal/entry/route"
)

// call sends requests to one backend. Of endpoints, the next one gets what one did not get for want of a connection.
type call struct {
	by *transports
	to *route.Backend
	as *route.Certificate // for backends with TLS; nil: none
	// calls is called with the address of each attempt; nil: nothing is.
	calls func(address string)
}

// endpointKey marks the context of a request to one of several endpoints.
type endpointKey struct{}

// RoundTrip implements http.RoundTripper.
func (c *call) RoundTrip(r *http.Request) (*http.Response, error) {
	addresses := []string{c.to.Address}
	if c.to.Endpoints != nil {
		addresses = c.to.Endpoints.Order(maxDials)
	}
	by := c.by.to(c.to, c.as, r)
	err := error(&dialError{errors.New("there is no endpoint")})
	for i, address := range addresses {
		var resp *http.Response
		out, lent := r, (*lentBody)(nil)
		if i < len(addresses)-1 {
			out, lent = lend(r)
		} else if len(addresses) > 1 {
			out = r.WithContext(context.WithValue(r.Context(), endpointKey{}, true))
		}
		to := *r.URL
		to.Scheme, to.Host = "http", address
		if c.to.TLS != nil {
			to.Scheme = "https"
		}
		out.URL = &to
		if c.calls != nil {
			c.calls(address)
		}
		if resp, err = by.RoundTrip(out); err == nil {
			return resp, nil
		}
		_, unsent := errors.AsType[*dialError](err)
		if !unsent || lent.spent() || errors.Is(err, syscall.EMFILE) || r.Context().Err() != nil {
			break
		}
	}
	return nil, err
}

// lend is the request for an attempt that may fail for want of a connection: its body can be sent with another one then.
func lend(r *http.Request) (*http.Request, *lentBody) {
	body := &lentBody{ReadCloser: r.Body}
	ctx := context.WithValue(r.Context(), endpointKey{}, true)
	out := r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { body.sent.Store(true) }}))
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = body
	}
	return out, body
}

// lentBody is a body that net/http's client does not close unless it has a connection to send it on.
type lentBody struct {
	io.ReadCloser

	sent atomic.Bool
}

// Close implements io.Closer.
func (b *lentBody) Close() error {
	if b.sent.Load() {
		return b.ReadCloser.Close()
	}
	return nil
}

// spent: a part of the body may have gone out.
func (b *lentBody) spent() bool {
	return b == nil || b.sent.Load() && b.ReadCloser != nil && b.ReadCloser != http.NoBody
}
