package http

import (
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/eastway/eastway/failover/http/conn"
	"github.com/eastway/eastway/failover/http/h1"
)

// attemptHeader has the number of the try, from the second on, so that an application sees that a request may not be new.
const attemptHeader = "X-Eastway-Attempt"

// upgradeOf is the protocol that a message switches to, empty if it does not. What changes to HTTP/2 does not count: the request is
// carried as HTTP/1.1, which a server may always do.
func upgradeOf(h http.Header) string {
	if !conn.HasToken(h["Connection"], "upgrade") {
		return ""
	}
	if to := h.Get("Upgrade"); !strings.EqualFold(to, "h2c") {
		return to
	}
	return ""
}

// refused checks what net/http's server accepts in HTTP/2 but the proxy does not pass on. It returns why, and the status of the answer; nil is
// a request to pass on. package h1 has checked HTTP/1.1 before.
func refused(r *http.Request, most h1.Limits) (v *h1.Violation, status int) {
	switch {
	case r.Method == http.MethodConnect:
		return &h1.Violation{Reason: h1.ReasonConnect, Detail: r.Proto}, http.StatusMethodNotAllowed
	case fields(r.Header) > most.Fields:
		return &h1.Violation{Reason: h1.ReasonTooManyFields, Detail: r.Proto}, http.StatusRequestHeaderFieldsTooLarge
	case r.ProtoMajor == 2:
		return h1.Check(r.Method, r.RequestURI, r.Host), http.StatusBadRequest
	default:
		return nil, 0
	}
}

func fields(h http.Header) (n int) {
	for _, values := range h {
		n += len(values)
	}
	return n
}

// outgoing is r as the next hop gets it; each try clones it.
func outgoing(r *http.Request) *http.Request {
	out := &http.Request{
		Method: r.Method, URL: targetOf(r), Host: r.Host, Header: maps.Clone(r.Header), // values are replaced, never changed
		ContentLength: r.ContentLength, Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor,
	}
	to := upgradeOf(r.Header)
	conn.RemoveHopByHop(out.Header)
	if to != "" && !hasBody(r) {
		out.Header.Set("Connection", "Upgrade")
		out.Header.Set("Upgrade", to)
	}
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = nil // net/http would add its own
	}
	return out
}

// targetOf keeps the request target byte for byte: net/url would change some escapes and drop what it cannot parse of a query.
func targetOf(r *http.Request) *url.URL {
	u := &url.URL{Scheme: "http", Host: r.Host}
	if u.Host == "" {
		u.Host = "endpoint" // HTTP/1.0 needs none, net/http does
	}
	raw := r.RequestURI
	if !strings.HasPrefix(raw, "/") && raw != "*" { // absolute form
		_, rest, _ := strings.Cut(raw, "://")
		if slash := strings.IndexAny(rest, "/?"); slash >= 0 {
			raw = rest[slash:]
		} else if raw = "/"; r.Method == http.MethodOptions { // of the server, not of a path (RFC 9112, 3.2.4)
			raw = "*"
		}
		if strings.HasPrefix(raw, "?") {
			raw = "/" + raw
		}
	}
	if strings.HasPrefix(raw, "//") { // as Opaque this would be taken for an authority
		u.Path, u.RawPath, u.RawQuery, u.ForceQuery = r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.URL.ForceQuery
		return u
	}
	u.Opaque = raw
	return u
}

// hasBody: net/http's HTTP/2 server makes a body for every request.
func hasBody(r *http.Request) bool {
	return r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0
}

// isLong is true when the body may be longer than what is kept for another try.
func isLong(r *http.Request) bool { return r.ContentLength < 0 || r.ContentLength > replayLimit }

// withBody makes r a request for one try.
func withBody(r *http.Request, b *body, announced []string) *tryBody {
	if b == nil {
		r.Body = http.NoBody
		return nil
	}
	trailer := make(http.Header, len(announced))
	for _, name := range announced {
		trailer[name] = nil
	}
	try := b.try(trailer)
	r.Body = try
	if r.ContentLength < 0 || len(announced) > 0 { // only a chunked body has trailers
		r.Trailer = trailer
	}
	return try
}
