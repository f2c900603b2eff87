package http

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/failover/http/h1"
	"github.com/eastway/eastway/failover/http/sniff"
)

// front is a client's connection as net/http's server uses it.
type front struct {
	clientConn
	head []byte // what was read before, to be read again
	// ctx ends with the connection, also while nothing reads it.
	ctx    context.Context
	cancel context.CancelCauseFunc
	// strict verifies HTTP/1.1; nil: it is HTTP/2, which net/http verifies.
	strict *h1.Reader
	from   origin

	mu       sync.Mutex
	cut      bool // it ends with a reset: what the client got is not whole
	closed   bool
	requests int           // under way
	begun    int           // requests, in all
	done     chan struct{} // closed when it is closed and no request is under way
	served   chan struct{} // closed when net/http's server has ended with it
	ending   sync.WaitGroup
}

// clientConn is the connection below a front.
type clientConn interface {
	net.Conn
	// CloseWrite ends the write side clean.
	CloseWrite() error
	// Broken is closed when the client is gone, also while nothing reads.
	Broken() <-chan struct{}
	// end closes the connection: with everything sent, or with a reset.
	end(clean bool)
}

func newFront(from origin) *front {
	return &front{from: from, done: make(chan struct{}), served: make(chan struct{})}
}

// begins is called with what was read of it before.
func (f *front) begins(kind sniff.Protocol, head []byte) {
	f.head = head
	if kind == sniff.HTTP1 {
		f.strict = h1.NewReader(unread{f}, f.from.limits())
	}
}

// limits of a request's header.
func (o *origin) limits() h1.Limits {
	l := h1.Limits{HeadBytes: maxHeaderBytes, Fields: maxFields}
	if o.peer != "" {
		l.HeadBytes += peerHeaderBytes
		l.Fields += peerFields
	}
	return l
}

// unread reads the connection without verifying it.
type unread struct{ *front }

// Read implements net.Conn.
func (f *front) Read(p []byte) (int, error) {
	if f.strict == nil {
		return unread{f}.Read(p)
	}
	n, err := f.strict.Read(p)
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

// outlast reads until the connection or the time to read ends. While a request is under way, net/http's server takes any other error
// for a client that is gone.
func (f *front) outlast() error {
	_, err := io.Copy(io.Discard, onlyReader{f.clientConn})
	return cmp.Or(err, io.EOF)
}

// onlyReader hides what else a connection can do.
type onlyReader struct{ io.Reader }

// Read implements io.Reader.
func (f unread) Read(p []byte) (int, error) {
	if len(f.head) > 0 {
		n := copy(p, f.head)
		f.head = f.head[n:]
		return n, nil
	}
	return f.clientConn.Read(p)
}

// Close ends the connection: with everything sent, or with a reset after reset.
func (f *front) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return net.ErrClosed
	}
	f.closed = true
	f.cancel(nil)
	if f.cut {
		f.end(false)
	} else { // that may wait for the client, and a server that shuts down holds the lock meanwhile that every request needs
		f.ending.Go(func() {
			if f.violation() != nil {
				f.linger()
			}
			f.end(true)
		})
	}
	if f.requests == 0 {
		close(f.done)
	}
	return nil
}

// violation is why a request was refused, nil if none was.
func (f *front) violation() *h1.Violation {
	if f.strict == nil {
		return nil
	}
	return f.strict.Violation()
}

// opaque is true when what follows the request is not verified, as it asks for an upgrade: unless the connection is switched it has to
// end.
func (f *front) opaque() bool { return f.strict != nil && f.strict.Opaque() }

// linger reads on for a moment, so that no reset for unread bytes overtakes the answer.
func (f *front) linger() {
	_ = f.CloseWrite()
	_ = f.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, f.clientConn, lingerBytes)
}

// reset makes Close reset the connection. A clean end that waits for the client is cut short.
func (f *front) reset() {
	f.mu.Lock()
	f.cut = true
	closed := f.closed
	f.mu.Unlock()
	if closed {
		f.end(false)
	}
}

// begin counts a request; false: the connection has ended.
func (f *front) begin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.requests++
	f.begun++
	return true
}

func (f *front) ended() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.requests--; f.requests == 0 && f.closed {
		close(f.done)
	}
}

// firstBytes reads until they show what the connection is. Clients may connect long before their first request. ctx ends the wait.
func firstBytes(ctx context.Context, conn net.Conn) (sniff.Protocol, []byte, error) {
	if err := conn.SetReadDeadline(time.Now().Add(frontIdleTimeout)); err != nil {
		return sniff.NotHTTP, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	b := make([]byte, 0, sniff.Max)
	for {
		n, err := conn.Read(b[len(b):cap(b)])
		if len(b) == 0 && n > 0 && ctx.Err() == nil {
			_ = conn.SetReadDeadline(time.Now().Add(headerTimeout))
		}
		b = b[:len(b)+n]
		switch p := sniff.Of(b); {
		case p != sniff.Undecided && ctx.Err() == nil:
			return p, b, conn.SetReadDeadline(time.Time{})
		case ctx.Err() != nil:
			return sniff.NotHTTP, b, context.Cause(ctx)
		case errors.Is(err, os.ErrDeadlineExceeded): // too slow for a request
			return sniff.NotHTTP, b, err
		case errors.Is(err, io.EOF) && len(b) > 0:
			return sniff.NotHTTP, b, conn.SetReadDeadline(time.Time{})
		case err != nil:
			return sniff.NotHTTP, b, err
		}
	}
}

// oneConn is a listener that accepts one connection.
type oneConn struct{ conn net.Conn }

// Accept implements net.Listener.
func (l *oneConn) Accept() (net.Conn, error) {
	c := l.conn
	if c == nil {
		return nil, io.EOF
	}
	l.conn = nil
	return c, nil
}

// Close implements net.Listener.
func (*oneConn) Close() error { return nil }

// Addr implements net.Listener.
func (*oneConn) Addr() net.Addr { return &net.TCPAddr{} }

type frontKey struct{}

// newServer reads clients' requests.
func newServer(h http.Handler, log *zap.Logger) *http.Server {
	s := &http.Server{
		ErrorLog:          zap.NewStdLog(log),
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       frontIdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		// "OPTIONS *" is the endpoint's to answer.
		DisableGeneralOptionsHandler: true,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if f, ok := c.(*front); ok {
				return context.WithValue(f.ctx, frontKey{}, f)
			}
			return ctx // not reached
		},
		ConnState: func(c net.Conn, s http.ConnState) {
			if f, ok := c.(*front); ok && (s == http.StateClosed || s == http.StateHijacked) {
				close(f.served)
			}
		},
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: bodyWindow},
		Protocols: new(http.Protocols),
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}
