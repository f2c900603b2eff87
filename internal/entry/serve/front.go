package serve

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eastway/eastway/failover/http/h1"
	"github.com/eastway/eastway/failover/http/sniff"
)

// front is a client's connection as net/http's server uses it: decrypted, and what is HTTP/1.1 verified.
type front struct {
	net.Conn // *tls.Conn, or that of TCP

	raw     net.Conn // below TLS
	port    *port
	slot    *slot
	trusted bool                 // it is from a proxy in front
	head    []byte               // what was read before, to be read again
	tls     *tls.ConnectionState // nil: none
	// strict verifies HTTP/1.1; nil: it is HTTP/2, which net/http verifies.
	strict *h1.Reader

	late   atomic.Bool                   // a read took too long
	proved atomic.Pointer[x509.CertPool] // the roots by which the client's certificate was verified

	mu     sync.Mutex
	begun  int // requests, in all
	closed bool
}

// begins is called when it is known what the connection carries.
func (f *front) begins(kind sniff.Protocol, head []byte) {
	f.mu.Lock() // it may lose its place meanwhile
	defer f.mu.Unlock()
	f.head = head
	if kind != sniff.HTTP2 {
		f.strict = h1.NewReader(unread{f}, h1.Limits{HeadBytes: maxHeaderBytes, Fields: maxFields})
	}
}

// unread reads the connection without verifying it.
type unread struct{ *front }

// Read implements io.Reader.
func (f unread) Read(p []byte) (int, error) {
	if len(f.head) > 0 {
		n := copy(p, f.head)
		f.head = f.head[n:]
		return n, nil
	}
	return f.Conn.Read(p)
}

// Read implements net.Conn.
func (f *front) Read(p []byte) (int, error) {
	if f.strict == nil {
		return unread{f}.Read(p)
	}
	n, err := f.strict.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		f.late.Store(true)
	}
	if v, ok := errors.AsType[*h1.Violation](err); ok && f.isLater(v) {
		return 0, f.outlast()
	}
	return n, err
}

// isLater is true for a violation in the body of a request that has not begun: those before it are valid.
func (f *front) isLater(v *h1.Violation) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return v.Request > f.begun
}

// outlast reads until the connection or the time to read ends: net/http's server takes any other error for a client that is gone.
func (f *front) outlast() error {
	_, err := io.Copy(io.Discard, onlyReader{f.Conn})
	return cmp.Or(err, io.EOF)
}

// onlyReader hides what else a connection can do.
type onlyReader struct{ io.Reader }

// violation is why the connection is not read further; nil if it is.
func (f *front) violation() *h1.Violation {
	if f.strict == nil {
		return nil
	}
	return f.strict.Violation()
}

// opaque is true when what follows the request is not verified: unless the connection is switched, it has to end.
func (f *front) opaque() bool { return f.strict != nil && f.strict.Opaque() }

// begin counts a request; ok is false if the connection has lost its place. Why is set if there are too many requests under way.
func (f *front) begin() (why refusal, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun++
	if f.closed {
		return "", false
	}
	if why, ok = f.port.server.begin(f.slot); ok {
		f.port.requests.Add(1)
	}
	return why, ok
}

// ended is called with what begin has returned.
func (f *front) ended(why refusal) {
	f.port.server.ended(f.slot, why)
	f.port.requests.Done()
}

// CloseWrite ends the write side.
func (f *front) CloseWrite() error {
	if c, ok := f.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil // not reached: TLS and TCP both have it
}

// Close implements net.Conn. It does not wait: net/http's server holds its lock meanwhile.
func (f *front) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return net.ErrClosed
	}
	f.closed = true
	v := f.violation()
	if v == nil {
		if f.begun == 0 && f.late.Load() {
			f.port.server.refuse(slowHeader, fmt.Sprintf("port %d", f.port.number), f.RemoteAddr().String())
		}
		f.port.server.left(f)
		return f.Conn.Close()
	}
	f.port.server.running.Go(func() {
		f.linger()
		f.port.server.left(f)
		_ = f.Conn.Close()
	})
	f.port.server.malformed(f, v)
	return nil
}

// cut closes the connection without a farewell, for which a client could make it wait.
func (f *front) cut() {
	_ = f.raw.Close()
	_ = f.Close()
}

// linger reads on for a moment, so that no reset for unread bytes overtakes the answer.
func (f *front) linger() {
	_ = f.SetDeadline(time.Now().Add(lingerTime))
	_ = f.CloseWrite()
	_, _ = io.CopyN(io.Discard, onlyReader{f.Conn}, lingerBytes)
}
