package h1

import (
	"fmt"
	"net/http"
)

// Reason why a request is refused: a short label from the closed list below.
type Reason string

// Reasons.
const (
	// ReasonHeadTooLarge and ReasonTooManyFields are answered with 431, all others in a head with 400.
	ReasonHeadTooLarge  Reason = "head-too-large"
	ReasonTooManyFields Reason = "too-many-fields"

	// Lines.
	ReasonBareLF      Reason = "bare-lf"
	ReasonBareCR      Reason = "bare-cr"
	ReasonControlByte Reason = "control-byte"
	ReasonEmptyLines  Reason = "empty-lines" // more than one before the request line
	ReasonObsFold     Reason = "obs-fold"    // a field that goes on in the next line

	// The request line.
	ReasonRequestLine Reason = "request-line" // not METHOD SP TARGET SP VERSION
	ReasonMethod      Reason = "method"       // no token
	ReasonConnect     Reason = "connect"
	ReasonTarget      Reason = "target"
	ReasonVersion     Reason = "version" // neither HTTP/1.0 nor HTTP/1.1

	// Fields.
	ReasonNoColon          Reason = "no-colon"
	ReasonFieldSpace       Reason = "field-space" // space or tab in a name or before the colon
	ReasonFieldName        Reason = "field-name"  // no token
	ReasonFieldAlias       Reason = "field-alias" // Content_Length, which CGI takes for Content-Length
	ReasonConnectionOption Reason = "connection-option"
	ReasonTrailerField     Reason = "trailer-field" // one that may not be in a trailer section, there or announced

	// Host.
	ReasonHostMissing   Reason = "host-missing"
	ReasonHostDuplicate Reason = "host-duplicate"
	ReasonHostInvalid   Reason = "host-invalid"
	ReasonHostMismatch  Reason = "host-mismatch" // not that of the absolute target

	// The length of the body.
	ReasonContentLength          Reason = "content-length"
	ReasonContentLengthDuplicate Reason = "content-length-duplicate"
	ReasonTransferEncoding       Reason = "transfer-encoding" // not exactly one "chunked"
	ReasonTransferEncodingHTTP10 Reason = "transfer-encoding-http10"
	ReasonLengthAndEncoding      Reason = "length-and-encoding"

	// A chunked body.
	ReasonChunkSize       Reason = "chunk-size"
	ReasonChunkExtension  Reason = "chunk-extension"
	ReasonChunkLine       Reason = "chunk-line" // too long
	ReasonChunkOverhead   Reason = "chunk-overhead"
	ReasonChunkEnd        Reason = "chunk-end" // no CRLF after a chunk's data
	ReasonTrailerTooLarge Reason = "trailer-too-large"
)

// Violation is why a connection's requests are not read further.
type Violation struct { //nolint:errname // it is read from a Reader more often than it is returned
	Reason Reason
	// Detail may be logged: it has a line's number, a byte's value, a valid method or name of a field, or the value of a field
	// that frames the body. It never has another value, a target or a host, which may hold secrets.
	Detail string
	// InBody: the head was verified and passed on before.
	InBody bool
	// Request is the number of the request on its connection, from 1.
	Request int
}

// Error implements error.
func (v *Violation) Error() string {
	where := "head"
	if v.InBody {
		where = "body"
	}
	return fmt.Sprintf("read HTTP request: refused %s: %s: %s", where, v.Reason, v.Detail)
}

// Status is the status code of the answer to a violation in a head.
func (v *Violation) Status() int {
	switch v.Reason {
	case ReasonHeadTooLarge, ReasonTooManyFields:
		return http.StatusRequestHeaderFieldsTooLarge
	default:
		return http.StatusBadRequest
	}
}

// refuse makes a Violation of a head; the framer marks those of a body.
func refuse(reason Reason, format string, args ...any) *Violation {
	return &Violation{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// shown is at most that much of a text.
func shown(text []byte, most int) []byte {
	return text[:min(len(text), most)]
}
