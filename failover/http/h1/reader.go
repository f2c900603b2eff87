package h1

import (
	"io"
	"slices"
	"sync/atomic"
)

// Reader verifies the HTTP/1.1 requests of one connection as they are read. It is made by NewReader.
type Reader struct {
	src    io.Reader
	framer framer

	buf   []byte // read and not passed on, from off: the part of a head or a line that is not complete, and what came with it
	off   int
	ready int   // bytes at off that are verified
	err   error // of src, for after the bytes that came with it

	refusal   refusal
	opaque    atomic.Bool // bytes are not verified
	upgrading atomic.Bool // they will not be after this request
	violation atomic.Pointer[Violation]
}

// NewReader makes a Reader of what a client sends.
func NewReader(r io.Reader, l Limits) *Reader {
	return &Reader{src: r, framer: framer{limits: l.withDefaults()}}
}

// Read implements io.Reader. It yields the client's bytes as they are, except for an empty line before a head, which RFC 9112
// section 2.2 lets a server ignore and net/http does not. A head comes only when it is complete and verified, and so do the
// lines between a body's chunks; data is read into p itself. After a violation in a head it yields what net/http's server
// answers with the right status code, and then io.EOF; after one in a body the error is a *Violation.
//
// An error of the source is returned once, and reading may go on after it: net/http's server interrupts reads by deadlines.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for empty := 0; empty < emptyReads; {
		if r.opaque.Load() {
			r.ready = len(r.buf) - r.off
		}
		v := r.violation.Load()
		switch {
		case r.ready > 0:
			return r.deliver(p), nil
		case v != nil && v.InBody:
			return 0, v
		case v != nil:
			return r.refusal.Read(p)
		case r.err != nil:
			err := r.err
			r.err = nil
			return 0, err
		}
		var got, n int
		if len(r.buf) == r.off {
			got, n = r.fillDirectly(p)
		} else {
			got = r.fill()
		}
		if n > 0 {
			return n, nil
		}
		if got == 0 && r.err == nil {
			empty++
		}
	}
	return 0, io.ErrNoProgress
}

// fillDirectly reads into p. The first n bytes of p are verified then; what is left is kept.
func (r *Reader) fillDirectly(p []byte) (got, n int) {
	got, r.err = r.src.Read(p)
	p, n = r.verify(p[:got])
	if rest := p[n:]; len(rest) > 0 {
		r.grow(len(rest))
		r.buf = append(r.buf, rest...)
	}
	return got, n
}

// fill reads more into the buffer.
func (r *Reader) fill() (got int) {
	r.grow(1)
	got, r.err = r.src.Read(r.buf[len(r.buf):cap(r.buf)])
	r.buf = r.buf[:len(r.buf)+got]
	var kept []byte
	kept, r.ready = r.verify(r.buf[r.off:])
	r.buf = r.buf[:r.off+len(kept)]
	return got
}

// verify judges bytes, of which the first n may be passed on then, and takes out what does not pass: a skipped line, and
// everything from a violation on.
func (r *Reader) verify(b []byte) (kept []byte, n int) {
	for {
		if r.opaque.Load() {
			return b, len(b)
		}
		k, skip, v := r.framer.next(b[n:])
		n += k
		switch {
		case v != nil:
			if !v.InBody {
				r.refusal = refusalOf(v)
			}
			r.violation.Store(v)
			return b[:n], n
		case skip:
			b = slices.Delete(b, n, n+2)
			continue
		case r.framer.phase == inOpaque:
			r.opaque.Store(true)
		case r.framer.phase != inHead && r.framer.head.upgrades():
			r.upgrading.Store(true)
		}
		return b, n
	}
}

// deliver copies what is verified.
func (r *Reader) deliver(p []byte) int {
	n := copy(p, r.buf[r.off:r.off+r.ready])
	r.off, r.ready = r.off+n, r.ready-n
	if r.off == len(r.buf) {
		r.buf, r.off = r.buf[:0], 0
		if cap(r.buf) > keptBuffer {
			r.buf = nil
		}
	}
	return n
}

// grow makes room for n bytes more.
func (r *Reader) grow(n int) {
	if r.off > 0 {
		r.buf = r.buf[:copy(r.buf, r.buf[r.off:])]
		r.off = 0
	}
	if need := len(r.buf) + n; need > cap(r.buf) {
		grown := make([]byte, len(r.buf), max(firstBuffer, 2*cap(r.buf), need))
		copy(grown, r.buf)
		r.buf = grown
	}
}

// Violation is why nothing more is read; nil while there is none. It is known before all that is good before it has been read.
// It may be called from any goroutine.
func (r *Reader) Violation() *Violation { return r.violation.Load() }

// Passthrough makes all bytes from now on opaque, those included that wait for being verified: the connection was switched to
// another protocol. It may be called from any goroutine.
func (r *Reader) Passthrough() { r.opaque.Store(true) }

// Opaque is true after a request for an upgrade, and after Passthrough: what follows is not verified. Unless the connection is
// switched, the caller closes it after the answer, so that no server takes these bytes for a request. Check it before each answer,
// rather than the request's fields: two readings of them would be a way around this package. It may be called from any goroutine.
func (r *Reader) Opaque() bool { return r.opaque.Load() || r.upgrading.Load() }
