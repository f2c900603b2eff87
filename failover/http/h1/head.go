package h1

import (
	"bytes"
	"math"
)

// head is what matters of a request's line and fields.
type head struct {
	http10    bool
	authority span // of an absolute target
	https     bool
	hosts     int // fields Host

	lengths   int // fields Content-Length
	length    int64
	encodings int // fields Transfer-Encoding
	chunked   bool

	upgrade       bool // to a protocol other than h2c
	upgradeOption bool // Connection: upgrade
}

// span of a block's bytes.
type span struct{ from, to int }

// requestLine reads the line at the start of a block.
func (h *head) requestLine(line []byte) *Violation {
	n := tokenLength(line)
	if n < len(line) && line[n] != ' ' {
		return refuse(ReasonMethod, "byte 0x%02x", line[n])
	}
	method := line[:n]
	target, version, ok := bytes.Cut(line[min(n+1, len(line)):], []byte(" "))
	switch {
	case n == 0, len(target) == 0, !ok, bytes.IndexByte(version, ' ') >= 0:
		return refuse(ReasonRequestLine, "not METHOD TARGET VERSION with one space between them")
	case equalFold(method, "connect"): // in any case, as the next parser may not tell them apart
		return refuse(ReasonConnect, "this is no forward proxy")
	}
	switch string(version) {
	case "HTTP/1.1":
	case "HTTP/1.0":
		h.http10 = true
	default:
		return refuse(ReasonVersion, "neither HTTP/1.0 nor HTTP/1.1 after method %s", shown(method, shownName))
	}
	return h.target(method, target, n+1)
}

// field reads a line of a block.
func (h *head) field(l *lines, line, block []byte) *Violation {
	name, value, v := l.splitField(line)
	if v != nil {
		return v
	}
	switch len(name) { // most names end here
	case len("host"):
		if equalFold(name, "host") {
			return h.hostField(value, block)
		}
	case len("upgrade"):
		if equalFold(name, "upgrade") {
			h.upgradeField(value)
		} else if equalFold(name, "trailer") {
			return trailerField(value)
		}
	case len("connection"):
		if equalFold(name, "connection") {
			return h.connectionField(value)
		}
	case len("content-length"):
		return h.lengthField(name, value)
	case len("transfer-encoding"):
		return h.encodingField(name, value)
	}
	return nil
}

func (h *head) hostField(value, block []byte) *Violation {
	if h.hosts++; h.hosts > 1 {
		return refuse(ReasonHostDuplicate, "more than one Host")
	}
	// RFC 9112 section 3.2 has an empty Host for a target without authority. For http there is none (RFC 9110 section 4.2.1),
	// and servers fill it in, each with a name of its own.
	if !validAuthority(value) {
		return refuse(ReasonHostInvalid, "%d bytes that are not NAME, NAME:PORT or an IP address", len(value))
	}
	authority := block[h.authority.from:h.authority.to]
	if len(authority) > 0 && !bytes.EqualFold(h.withoutDefaultPort(authority), h.withoutDefaultPort(value)) {
		// RFC 9112 section 3.2.2: the target counts. A server that takes Host would route the request elsewhere.
		return refuse(ReasonHostMismatch, "Host differs from the target's")
	}
	return nil
}

// upgradeField: servers may ignore it, and h2c always is: Java's client asks for it in the first request of each connection.
func (h *head) upgradeField(value []byte) {
	for protocol := range elements(value) {
		h.upgrade = h.upgrade || !equalFold(protocol, "h2c")
	}
}

// connectionField: what it names is removed by the next hop, and without these a request is another one.
func (h *head) connectionField(value []byte) *Violation {
	for option := range elements(value) {
		for _, framing := range []string{"content-length", "transfer-encoding", "host"} {
			if equalFold(option, framing) {
				return refuse(ReasonConnectionOption, "Connection names %s", framing)
			}
		}
		h.upgradeOption = h.upgradeOption || equalFold(option, "upgrade")
	}
	return nil
}

// trailerField announces the fields of a trailer section.
func trailerField(value []byte) *Violation {
	for name := range elements(value) {
		if notInTrailer(name) {
			return refuse(ReasonTrailerField, "Trailer announces %s", shown(name, shownName))
		}
	}
	return nil
}

func (h *head) lengthField(name, value []byte) *Violation {
	switch {
	case equalFold(name, "content_length"):
		return refuse(ReasonFieldAlias, "%s", name)
	case !equalFold(name, "content-length"):
		return nil
	}
	// RFC 9110 section 8.6 lets a server accept equal ones. No client sends them.
	if h.lengths++; h.lengths > 1 {
		return refuse(ReasonContentLengthDuplicate, "more than one Content-Length")
	}
	length, ok := decimal(value)
	if !ok {
		return refuse(ReasonContentLength, "%q", shown(value, shownValue))
	}
	h.length = length
	return nil
}

// decimal reads digits and nothing else.
func decimal(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > lengthDigits {
		return 0, false
	}
	var n uint64 // holds any number of 19 digits
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return int64(n), n <= math.MaxInt64
}

func (h *head) encodingField(name, value []byte) *Violation {
	switch {
	case equalFold(name, "transfer_encoding"):
		return refuse(ReasonFieldAlias, "%s", name)
	case !equalFold(name, "transfer-encoding"):
		return nil
	}
	if h.encodings++; h.encodings > 1 || !equalFold(value, "chunked") {
		return refuse(ReasonTransferEncoding, "%q in field %d", shown(value, shownValue), h.encodings)
	}
	h.chunked = true
	return nil
}

// end judges the fields together.
func (h *head) end() *Violation {
	switch {
	case h.hosts == 0 && !h.http10:
		return refuse(ReasonHostMissing, "HTTP/1.1 without Host")
	case h.chunked && h.http10:
		return refuse(ReasonTransferEncodingHTTP10, "HTTP/1.0 has no chunks")
	case h.chunked && h.lengths > 0:
		return refuse(ReasonLengthAndEncoding, "Content-Length %d and Transfer-Encoding", h.length)
	}
	return nil
}

// upgrades: what follows the request may be of another protocol. RFC 9110 section 7.8 has no upgrade for HTTP/1.0.
func (h *head) upgrades() bool { return h.upgrade && h.upgradeOption && !h.http10 }
