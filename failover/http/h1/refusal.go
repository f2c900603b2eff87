package h1

import (
	"io"
	"net/http"
)

const (
	// notARequest is answered with 400 by net/http's server.
	notARequest = "REFUSED\r\n\r\n"
	// endless begins a field that spaces continue. The server keeps none of them, meets its limit and answers 431.
	endless = "GET / HTTP/1.1\r\nRefused: 431\r\n"
)

// refusal is what Read yields in place of a bad head.
type refusal struct {
	text string
	fill int // spaces that follow
}

// refusalOf a violation in a head.
func refusalOf(v *Violation) refusal {
	if v.Status() == http.StatusBadRequest {
		return refusal{text: notARequest}
	}
	return refusal{text: endless, fill: fillBytes}
}

// Read implements io.Reader.
func (f *refusal) Read(p []byte) (int, error) {
	if f.text != "" {
		n := copy(p, f.text)
		f.text = f.text[n:]
		return n, nil
	}
	n := min(len(p), f.fill)
	if n == 0 {
		return 0, io.EOF
	}
	f.fill -= n
	for i := range p[:n] {
		p[i] = ' '
	}
	return n, nil
}
