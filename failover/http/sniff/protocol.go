package sniff

import (
	"bytes"
	"net/http"
)

// Protocol is what the first bytes of a connection are.
type Protocol int

const (
	Undecided Protocol = iota // more bytes are needed
	HTTP1
	HTTP2
	NotHTTP
)

// preface is what an HTTP/2 connection with prior knowledge begins with (RFC 9113, 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// MaxMethod, in bytes, is the longest method of a request that is taken for HTTP.
const MaxMethod = 32

// Max is how many bytes decide at the latest.
const Max = max(MaxMethod+2, len(preface))

// Of takes bytes for HTTP/1 that begin with an upper-case method, a space and what a target can begin with. Line protocols
// such as memcached's and Redis's do not look like that, nor does TLS. Whether the rest is well-formed is checked later; there CONNECT,
// whose target can begin with anything, is refused.
func Of(b []byte) Protocol {
	if n := min(len(b), len(preface)); n >= len("PRI ") && string(b[:n]) == preface[:n] {
		if n == len(preface) {
			return HTTP2
		}
		return Undecided
	}
	end := bytes.IndexFunc(b, func(r rune) bool { return (r < 'A' || r > 'Z') && r != '-' && r != '_' })
	switch {
	case end < 0 && len(b) <= MaxMethod:
		return Undecided
	case end <= 0, end > MaxMethod, b[end] != ' ':
		return NotHTTP
	case end+1 == len(b):
		return Undecided
	case string(b[:end]) == http.MethodConnect:
		return HTTP1
	}
	switch b[end+1] {
	case '/', '*', 'h', 'H': // origin form, OPTIONS *, absolute form
		return HTTP1
	default:
		return NotHTTP
	}
}
