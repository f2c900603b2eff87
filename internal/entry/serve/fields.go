package serve

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
)

// forwarding are the headers by which proxies say who called them.
func forwarding() []string {
	return []string{
		"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Real-Ip", "X-Forwarded-Client-Cert",
	}
}

// framing are the headers that say where a message ends.
func framing() []string { return []string{"Content-Length", "Transfer-Encoding"} }

// perHop are those of one connection, or of the request as a whole, which are no trailers.
func perHop() []string {
	return []string{
		"Connection", "Host", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Upgrade",
	}
}

// isOneOf is true if a server that takes underscores for hyphens reads the name as one of those.
func isOneOf(name string, of []string) bool {
	name = strings.ReplaceAll(name, "_", "-")
	return slices.ContainsFunc(of, func(f string) bool { return strings.EqualFold(name, f) })
}

// badFields verifies what package h1 does for HTTP/1.1, in a header of HTTP/2; status 0: it is right.
func badFields(r *http.Request) (status int, detail string) {
	n, size := 0, len(r.Method)+len(r.RequestURI)+len(r.Host)
	for name, values := range r.Header {
		n += len(values)
		for _, v := range values {
			size += len(name) + len(v) + len(": ") + len("\r\n")
		}
		if strings.Contains(name, "_") && isOneOf(name, framing()) {
			return http.StatusBadRequest, "a field with an underscore that some servers take for Content-Length or Transfer-Encoding"
		}
	}
	if n > maxFields {
		return http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("%d fields, at most %d are allowed", n, maxFields)
	}
	if size > maxHeaderBytes {
		return http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("a header of %d bytes, at most %d are allowed", size, maxHeaderBytes)
	}
	return 0, ""
}

// trailers passes on those of the request, announced or not, but for those that would say who called or where the message ends.
func (e *exchange) trailers(p *httputil.ProxyRequest) {
	in, out := e.r, make(http.Header) // of p.In, a copy, net/http does not set a trailer that was not announced
	p.Out.Trailer = out
	take := func() {
		for name, values := range in.Trailer {
			if !isOneOf(name, forwarding()) && !isOneOf(name, framing()) && !isOneOf(name, perHop()) {
				out[name] = values
			}
		}
	}
	take() // the names, and the values of a body that was read already
	if e.body != nil {
		e.body.whole = take
		if p.Out.ContentLength < 0 {
			p.Out.TransferEncoding = []string{"chunked"} // else net/http reads the body to find out, while it reads the trailer
		}
	}
}
