package serve

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httputil"

	"github.com/eastway/eastway/internal/entry/route"
)

// Results of copies.
const (
	mirrorSent    = "sent"
	mirrorFailed  = "failed"
	mirrorSkipped = "skipped"
)

// mirror sends copies of what the backend gets to the backends of RequestMirror filters. What they answer is not used. A body is read before
// the request goes on.
func (e *exchange) mirror(p *httputil.ProxyRequest) {
	all := e.decision.Mirrors
	if len(all) == 0 {
		return
	}
	places := e.server.places(len(all)) // first: they bound the bodies that are kept
	var content []byte
	if e.body != nil && places > 0 {
		var fits bool
		if content, fits = e.copyBody(p.Out); !fits {
			for range places {
				<-e.server.mirrors
			}
			places = 0
		}
	}
	for _, to := range all[:places] {
		e.copyTo(context.WithoutCancel(p.In.Context()), p.Out, to, content)
	}
	e.server.metrics.mirrors.WithLabelValues(mirrorSkipped).Add(float64(len(all) - places))
}

// places takes as many for copies as there are, at most so many.
func (s *Server) places(most int) (taken int) {
	for ; taken < most; taken++ {
		select {
		case s.mirrors <- struct{}{}:
		default:
			return taken
		}
	}
	return taken
}

// copyBody reads a body that is short; the request has it all the same.
func (e *exchange) copyBody(out *http.Request) (content []byte, fits bool) {
	if e.r.ContentLength < 0 || e.r.ContentLength > maxMirrorBody || e.r.Header.Get("Expect") != "" {
		return nil, false
	}
	content, err := io.ReadAll(e.body)
	if err == nil && len(content) == 0 {
		return nil, true
	}
	rest := io.Reader(bytes.NewReader(content))
	if err != nil {
		rest = io.MultiReader(rest, failing{err})
	}
	out.Body = io.NopCloser(rest)
	return content, err == nil
}

// failing is a reader that fails.
type failing struct{ err error }

// Read implements io.Reader.
func (f failing) Read([]byte) (int, error) { return 0, f.err }

// copyTo sends one copy. It outlives the request.
func (e *exchange) copyTo(of context.Context, request *http.Request, to *route.Backend, content []byte) {
	s, as := e.server, e.client()
	ctx, cancel := context.WithTimeout(of, mirrorTimeout)
	out := request.Clone(ctx)
	out.Body, out.ContentLength, out.TransferEncoding, out.Trailer = http.NoBody, int64(len(content)), nil, nil
	if len(content) > 0 {
		out.Body = io.NopCloser(bytes.NewReader(content))
	}
	for _, name := range []string{"Connection", "Upgrade", "Te"} { // of a connection that is to be switched, and for trailers
		out.Header.Del(name)
	}
	s.running.Go(func() {
		defer func() { <-s.mirrors }()
		defer cancel()
		resp, err := (&call{by: s.transports, to: to, as: as}).RoundTrip(out)
		if err != nil {
			s.metrics.mirrors.WithLabelValues(mirrorFailed).Inc()
			return
		}
		_, _ = io.CopyN(io.Discard, resp.Body, maxMirrorBody)
		_ = resp.Body.Close()
		s.metrics.mirrors.WithLabelValues(mirrorSent).Inc()
	})
}
