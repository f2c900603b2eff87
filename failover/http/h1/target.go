package h1

import (
	"bytes"
	"net/netip"
)

// Check applies the rules of HTTP/1.1 to a request of HTTP/2. net/http's HTTP/2 server accepts more: requests that its client cannot send,
// and requests that a server behind the next hop may read in another way.
func Check(method, target, host string) *Violation {
	switch {
	case method == "" || tokenLength([]byte(method)) < len(method):
		return refuse(ReasonMethod, "no token")
	case host == "":
		return refuse(ReasonHostMissing, "no authority")
	case !validAuthority([]byte(host)):
		return refuse(ReasonHostInvalid, "%d bytes that are not NAME, NAME:PORT or an IP address", len(host))
	case target == "":
		return refuse(ReasonTarget, "none")
	default:
		return new(head).target([]byte(method), []byte(target), 0)
	}
}

// target reads a request's target, which is at that place of the block.
func (h *head) target(method, target []byte, at int) *Violation {
	for i, c := range target {
		// RFC 9112 section 3.2 has no fragment: servers end the path there, or do not.
		if c <= ' ' || c > '~' || c == '#' {
			return refuse(ReasonTarget, "byte 0x%02x at %d", c, i)
		}
	}
	switch {
	case target[0] == '/':
		return escapes(target)
	case string(target) == "*":
		if string(method) != "OPTIONS" {
			return refuse(ReasonTarget, "* with method %s", shown(method, shownName))
		}
		return nil
	}
	// The absolute form, scheme://authority/path.
	scheme, rest, ok := bytes.Cut(target, []byte("://"))
	h.https = equalFold(scheme, "https")
	if !ok || !h.https && !equalFold(scheme, "http") {
		return refuse(ReasonTarget, "neither a path nor an http URI")
	}
	n := bytes.IndexAny(rest, "/?")
	if n < 0 {
		n = len(rest)
	}
	if !validAuthority(rest[:n]) {
		return refuse(ReasonTarget, "no valid authority in a URI")
	}
	from := at + len(target) - len(rest)
	h.authority = span{from: from, to: from + n}
	return escapes(rest[n:])
}

// escapes in a path are a percent sign and two digits; net/http refuses others. Queries have all sorts of them.
func escapes(path []byte) *Violation {
	path, _, _ = bytes.Cut(path, []byte("?"))
	for i, c := range path {
		if c != '%' {
			continue
		}
		valid := i+2 < len(path)
		for _, c := range path[i+1 : min(i+3, len(path))] {
			_, ok := hexValue(c)
			valid = valid && ok
		}
		if !valid {
			return refuse(ReasonTarget, "invalid escape at byte %d of the path", i)
		}
	}
	return nil
}

// validAuthority: a host and maybe a port. RFC 3986 also allows percent signs, commas and other delimiters in names, and an
// empty port: DNS has no such names, and servers differ in where they cut them.
func validAuthority(b []byte) bool {
	var host, rest []byte
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 {
			return false
		}
		host, rest = b[1:end], b[end+1:]
		if addr, err := netip.ParseAddr(string(host)); err != nil || !addr.Is6() || addr.Zone() != "" {
			return false
		}
	} else {
		n := nameLength(b)
		host, rest = b[:n], b[n:]
	}
	return len(host) > 0 && (len(rest) == 0 || rest[0] == ':' && validPort(rest[1:]))
}

// nameLength is how many bytes at the start are those of a name: RFC 3986's unreserved ones.
func nameLength(b []byte) int {
	for i, c := range b {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && !isDigit(c) && c != '-' && c != '.' && c != '_' && c != '~' {
			return i
		}
	}
	return len(b)
}

func validPort(b []byte) bool {
	const digits, largest = 5, 65535
	port, ok := decimal(b)
	return ok && len(b) <= digits && port <= largest
}

// withoutDefaultPort is an authority without the port of the target's scheme: clients differ in whether they send it.
func (h *head) withoutDefaultPort(authority []byte) []byte {
	port := ":80"
	if h.https {
		port = ":443"
	}
	return bytes.TrimSuffix(authority, []byte(port))
}
