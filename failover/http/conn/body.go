package conn

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
)

// body is that of an answer. At its end the connection can be used again.
type body struct {
	*exchange
	src io.ReadCloser
	err error // how it ended
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.src.Read(p)
	if err == nil {
		return n, nil
	}
	if b.err = err; errors.Is(err, io.EOF) {
		b.ends(b.keep)
		return n, err
	}
	b.stop()
	b.conn.end(err)
	b.err = cmp.Or(context.Cause(b.ctx), err)
	return n, b.err
}

// Close ends the connection if the body was not read to its end: what is left of it may be long.
func (b *body) Close() error {
	if b.err == nil {
		b.err = errClosed
		b.stop()
		b.conn.end(errClosed)
	}
	return nil
}

// isSwitch is true for an answer after which the connection belongs to another protocol.
func isSwitch(resp *http.Response) bool {
	return resp.StatusCode == http.StatusSwitchingProtocols && resp.Header.Get("Upgrade") != "" && HasToken(resp.Header["Connection"], "upgrade")
}

// switched hands the connection over to the caller.
func (x *exchange) switched() {
	x.stop()
	x.conn.mu.Lock()
	x.conn.overLocked(errSwitched)
	x.conn.mu.Unlock()
	x.resp.Body = &stream{Conn: x.conn.raw, in: x.conn.in, end: x.conn.Close}
}

// stream is a connection of another protocol.
type stream struct {
	net.Conn
	in  *bufio.Reader // until it is empty
	end func() error
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	if s.in != nil {
		if n := s.in.Buffered(); n > 0 {
			return s.in.Read(p[:min(len(p), n)])
		}
		s.in = nil
	}
	return s.Conn.Read(p)
}

// Close implements io.Closer.
func (s *stream) Close() error { return s.end() }
