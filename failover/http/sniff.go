package http

import (
	"bytes"
	"net/http"
)

// protocol is what the first bytes of a connection are.
type protocol int

const (
	undecided protocol = iota // more bytes are needed
	http1
	http2
	notHTTP
)

// preface is what an HTTP/2 connection with prior knowledge begins with (RFC 9113, 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// maxSniff is how many bytes decide at the latest.
const maxSniff = max(maxMethod+2, len(preface))

// sniff takes bytes for HTTP/1 that begin with an upper-case method, a space and what a target can begin with. Line protocols
// such as memcached's and Redis's do not look like that, nor does TLS. Whether the rest is well-formed is checked later; there CONNECT,
// whose target can begin with anything, is refused.
func sniff(b []byte) protocol {
	if n := min(len(b), len(preface)); n >= len("PRI ") && string(b[:n]) == preface[:n] {
		if n == len(preface) {
			return http2
		}
		return undecided
	}
	end := bytes.IndexFunc(b, func(r rune) bool { return (r < 'A' || r > 'Z') && r != '-' && r != '_' })
	switch {
	case end < 0 && len(b) <= maxMethod:
		return undecided
	case end <= 0, end > maxMethod, b[end] != ' ':
		return notHTTP
	case end+1 == len(b):
		return undecided
	case string(b[:end]) == http.MethodConnect:
		return http1
	}
	switch b[end+1] {
	case '/', '*', 'h', 'H': // origin form, OPTIONS *, absolute form
		return http1
	default:
		return notHTTP
	}
}
