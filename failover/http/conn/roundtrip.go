package conn

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/textproto"
	"sync/atomic"
	"time"
)

// Interim gets each interim answer, of status 1xx but 101. An error ends the request.
type Interim func(status int, header textproto.MIMEHeader) error

// RoundTrip sends a request and reads the head of its answer. The end of the request's context ends the connection, until the answer's body
// has been read to its end. After an error nothing of the request is written any more. The body of an answer with status 101 is the connection.
func (c *Conn) RoundTrip(req *http.Request, interim Interim) (*http.Response, error) {
	ctx := req.Context()
	parked, err := c.begin()
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil && parked && c.isPending() {
		err = errPending
	}
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		c.end(err)
		return nil, err
	}
	x := &exchange{conn: c, ctx: ctx, stop: context.AfterFunc(ctx, func() { c.end(context.Cause(ctx)) })}
	if err = x.send(req); err != nil {
		c.end(err)
	}
	if parked {
		if came := <-c.came; err == nil && came != nil {
			err = fmt.Errorf("failover: read the answer: %w", came)
		}
	}
	var resp *http.Response
	if err == nil {
		resp, err = c.receive(req, interim)
	}
	if err != nil {
		return nil, x.fail(err)
	}
	x.answered(req, resp)
	return resp, nil
}

// answered gives the answer its body, at whose end the connection can be used again.
func (x *exchange) answered(req *http.Request, resp *http.Response) {
	x.headed.Store(true)
	x.resp, x.keep = resp, !resp.Close && !req.Close && resp.StatusCode > 199
	switch {
	case isSwitch(resp):
		x.switched()
	case req.Method == http.MethodHead || resp.ContentLength == 0:
		x.ends(x.keep)
	default:
		resp.Body = &body{exchange: x, src: resp.Body}
	}
}

// receive reads the head of the answer.
func (c *Conn) receive(req *http.Request, interim Interim) (*http.Response, error) {
	for {
		c.left = max(c.headBytes-int64(c.in.Buffered()), 0)
		resp, err := http.ReadResponse(c.in, req)
		switch {
		case err != nil:
			return nil, fmt.Errorf("failover: read the answer: %w", err)
		case resp.StatusCode < 100 || resp.StatusCode > 199 || resp.StatusCode == http.StatusSwitchingProtocols:
			c.left = math.MaxInt64
			return resp, nil
		}
		if err := interim(resp.StatusCode, textproto.MIMEHeader(resp.Header)); err != nil {
			return nil, err
		}
	}
}

// exchange is one request and its answer.
type exchange struct {
	conn  *Conn
	ctx   context.Context //nolint:containedctx // it is the request's, which has it, too
	stop  func() bool     // watching ctx
	resp  *http.Response
	keep  bool       // the connection can be used again
	wrote chan error // of a request with a body
	// headed: the head of an answer has come.
	headed atomic.Bool
}

// send writes the request; a body, for which the client or the endpoint may have to be waited for, in another goroutine.
func (x *exchange) send(req *http.Request) error {
	if req.Body == nil || req.Body == http.NoBody {
		return x.conn.write(req, x.conn.out)
	}
	x.wrote = make(chan error, 1)
	go func() { x.wrote <- x.writeWithBody(req) }()
	return nil
}

// writeWithBody ends the connection if the request cannot be written whole: at once where its body fails, so that the endpoint does not
// wait for the rest; later, unless an answer has come, where the endpoint takes no more of it, since that may have answered before.
func (x *exchange) writeWithBody(req *http.Request) error {
	req = req.WithContext(req.Context())
	body := &prompt{ReadCloser: req.Body, out: x.conn.out}
	req.Body = body
	err := x.conn.write(req, buffered{x.conn.out})
	switch {
	case body.err != nil:
		x.conn.end(body.err)
	case err != nil:
		time.AfterFunc(answerTime, func() {
			if !x.headed.Load() {
				x.conn.end(err)
			}
		})
	}
	return err
}

func (c *Conn) write(req *http.Request, to io.Writer) error {
	err := req.Write(to)
	if err == nil {
		err = c.out.Flush()
	}
	if err != nil {
		return fmt.Errorf("failover: write the request: %w", err)
	}
	return nil
}

// prompt is a request's body of which nothing waits in the buffer while the next part is awaited: that may depend on what the endpoint
// answers to this one.
type prompt struct {
	io.ReadCloser
	out *bufio.Writer
	err error // of the body itself
}

// Read implements io.Reader.
func (p *prompt) Read(b []byte) (int, error) {
	if err := p.out.Flush(); err != nil {
		return 0, err // write says what it was
	}
	n, err := p.ReadCloser.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		p.err = err
	}
	return n, err
}

// buffered is a bufio.Writer without ReadFrom, which would read the body while it has its buffer in use.
type buffered struct{ out *bufio.Writer }

// Write implements io.Writer.
func (b buffered) Write(p []byte) (int, error) { return b.out.Write(p) }

// WriteString implements io.StringWriter.
func (b buffered) WriteString(s string) (int, error) { return b.out.WriteString(s) }

// WriteByte implements io.ByteWriter: without it net/http has a buffer of its own.
func (b buffered) WriteByte(c byte) error { return b.out.WriteByte(c) }

// fail ends a request without an answer. What made it fail may be an error of the connection, which has ended for another reason.
func (x *exchange) fail(err error) error {
	x.conn.end(err)
	if x.wrote != nil {
		if werr := <-x.wrote; werr != nil {
			err = werr
		}
	}
	x.stop()
	return cmp.Or(context.Cause(x.ctx), err)
}

// ends is called when the answer has ended.
func (x *exchange) ends(keep bool) {
	if !x.stop() || !keep || x.conn.ended || x.conn.in.Buffered() > 0 || !x.hasWritten() {
		x.conn.end(errNotKept)
		return
	}
	x.conn.rest()
}

// hasWritten is true when all of the request was written.
func (x *exchange) hasWritten() bool {
	if x.wrote == nil {
		return true
	}
	select {
	case err := <-x.wrote:
		return err == nil
	default:
	}
	timer := time.NewTimer(writeTime)
	defer timer.Stop()
	select {
	case err := <-x.wrote:
		return err == nil
	case <-timer.C:
		return false
	}
}
