package http

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/http/h1"
)

// ReadHead reads a request's head as the proxy reads a client's, with the same limits. Lines may end without CR, and the empty line
// at the end may be missing, as in a file. The error names the line.
func ReadHead(text []byte) (*http.Request, error) {
	lines := &headLines{rest: text}
	strict := h1.NewReader(lines, h1.Limits{HeadBytes: maxHeaderBytes, Fields: maxFields})
	r, err := http.ReadRequest(bufio.NewReader(strict))
	switch v := strict.Violation(); {
	case v != nil:
		return nil, fmt.Errorf("line %d: the proxy refuses such a request: %s", lines.n, v.Reason)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("line %d: no request", lines.n)
	case err != nil:
		return nil, fmt.Errorf("line %d: %w", lines.n, err)
	}
	return r, nil
}

// headLines yields one line of a head at a time, with CRLF, and counts them.
type headLines struct {
	rest  []byte
	line  []byte // what is left of the newest
	n     int
	ended bool
}

// Read implements io.Reader.
func (h *headLines) Read(p []byte) (int, error) {
	if len(h.line) == 0 {
		if h.ended {
			return 0, io.EOF
		}
		h.next()
	}
	n := copy(p, h.line)
	h.line = h.line[n:]
	return n, nil
}

func (h *headLines) next() {
	line, rest, _ := bytes.Cut(h.rest, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	h.ended = len(line) == 0 // what follows is the body
	h.line, h.rest = append(bytes.Clone(line), "\r\n"...), rest
	h.n++
}

// KeyOf is the affinity of a request, 0 if it has none; anyKey: its client gets a cookie with the answer, at random.
func KeyOf(r *http.Request, by *balance.HashKey) (affinity uint64, anyKey bool) {
	affinity, cookie := by.Of(r)
	if cookie != nil {
		return 0, true
	}
	return affinity, false
}

// Rule is what a policy means for a request beside its endpoint: when it is repeated, and how long it may take.
func Rule(r *http.Request, policy *balance.Requests) string {
	kind := r.Method
	if isGRPC(r.Header) {
		kind += " (gRPC)"
	}
	rule := kind + ": " + policy.Retries.Rule(r.Method)
	if d := policy.Retries.PerTryTimeout; d > 0 {
		rule += fmt.Sprintf("; %s for a try", d)
	}
	timeout := "none"
	if policy.Timeout > 0 {
		timeout = policy.Timeout.String()
	}
	if d, ok := grpcTimeout(r.Header); ok && (policy.Timeout == 0 || d < policy.Timeout) {
		timeout = d.Round(time.Millisecond).String() + " (grpc-timeout)"
	}
	return rule + "; timeout " + timeout
}
