package conn

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errBroken = errors.New("broken")

// faulty is a connection that breaks in writing.
type faulty struct {
	net.Conn
	breaks bool
	slow   time.Duration // what a write takes to return when it has failed
}

// Write implements net.Conn.
func (f *faulty) Write(p []byte) (int, error) {
	if f.breaks {
		return 0, errBroken
	}
	n, err := f.Conn.Write(p)
	if err != nil {
		<-time.After(f.slow)
	}
	return n, err
}

// faultyPair is like pair.
func faultyPair(t *testing.T) (*Conn, *faulty, *endpoint) {
	t.Helper()
	c, e := pair(t)
	f := &faulty{Conn: c.raw}
	return New(f, 1<<10), f, e
}

// ended is a connection whose end has come, which its reader has not noticed yet.
type ended struct {
	net.Conn
	pending bool
	written int
}

// Pending is that of isPending.
func (c *ended) Pending() bool { return c.pending }

// Write implements net.Conn.
func (c *ended) Write(p []byte) (int, error) {
	c.written += len(p)
	return c.Conn.Write(p)
}

// TestPending: a request is not written to a kept connection whose end is there, and its body ends.
func TestPending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, e := pair(t)
		raw := &ended{Conn: first.raw}
		c := New(raw, 1<<10)
		go e.answer(nothing)
		if got := ask(c, request(t.Context(), t, "order")); got != "204 " {
			t.Fatal(got)
		}
		raw.pending, raw.written = true, 0
		body, req := &broken{}, request(t.Context(), t, "order")
		req.Body = body
		if got := ask(c, req); got != errPending.Error() || raw.written > 0 || !body.closed || c.Available() != 0 {
			t.Errorf("%q, %d bytes written, body closed is %v, %d available", got, raw.written, body.closed, c.Available())
		}
	})
}

// TestPrompt: each part of a body is sent at once, with what is before it, since the client may wait for what the endpoint answers to it.
func TestPrompt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		length int64
		want   string
	}{
		"length": {10, "first"},
		"chunks": {-1, "5\r\nfirst\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				conn, e := pair(t)
				body, client := io.Pipe()
				req := request(t.Context(), t, "")
				req.Body, req.ContentLength = body, c.length
				go func() {
					_, _ = io.WriteString(client, "first")
					synctest.Wait()
					_ = client.CloseWithError(errLeft)
				}()
				var got strings.Builder
				go func() {
					_, _ = io.Copy(&got, e.in)
				}()
				_ = ask(conn, req)
				synctest.Wait()
				if !strings.HasSuffix(got.String(), "\r\n\r\n"+c.want) {
					t.Errorf("the endpoint got %q", &got)
				}
			})
		})
	}
}

// broken is a body that ends with an error.
type broken struct{ closed bool }

// Read implements io.Reader.
func (*broken) Read([]byte) (int, error) { return 0, errBroken }

// Close implements io.Closer.
func (b *broken) Close() error {
	b.closed = true
	return nil
}

const nothing = "HTTP/1.1 204 No Content\r\n\r\n"

// TestUnused: a connection that is reserved and not used, however often, waits for its end, and takes a request.
func TestUnused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, e := pair(t)
		for range 2 { // new, then kept
			for range 3 {
				if err := c.Reserve(); err != nil {
					t.Error(err)
				}
				c.Release()
				synctest.Wait()
			}
			go e.answer(nothing)
			if got := ask(c, request(t.Context(), t, "")); got != "204 " || c.Available() != 1 {
				t.Errorf("%q, %v", got, c.Err())
			}
		}
		fresh, e := pair(t)
		if err := fresh.Reserve(); err != nil {
			t.Error(err)
		}
		fresh.Release()
		_ = e.Close()
		synctest.Wait()
		if fresh.Err() == nil {
			t.Error("the end of a connection that was never used is not noticed")
		}
	})
}

// TestHead: no body follows, whatever the head has.
func TestHead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, e := pair(t)
		for _, field := range []string{"Content-Length: 500", "Transfer-Encoding: chunked"} {
			req := request(t.Context(), t, "")
			req.Method = http.MethodHead
			go e.answer("HTTP/1.1 200 OK\r\n" + field + "\r\n\r\n")
			if got := ask(c, req); got != "200 " || c.Available() != 1 {
				t.Errorf("%s: %q, %v", field, got, c.Err())
			}
		}
	})
}

// TestManyInterim: each head has its own bound.
func TestManyInterim(t *testing.T) {
	t.Parallel()
	const many = 20
	for end, last := range map[string]int{
		"200 ": 900, "failover: read the answer: failover: the head of the answer has more than 1024 bytes": 1100,
	} {
		synctest.Test(t, func(t *testing.T) {
			c, e := pair(t)
			go e.answer(strings.Repeat("HTTP/1.1 103 Early Hints\r\nX: "+strings.Repeat("x", 600)+"\r\n\r\n", many) +
				"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: " + strings.Repeat("x", last) + "\r\n\r\n")
			if got, want := ask(c, request(t.Context(), t, "")), strings.Repeat("103 ", many)+end; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// TestBrokenRequest: a request that cannot be written ends at once, of a new connection and a kept one.
func TestBrokenRequest(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{false, true} {
		for name, body := range map[string]io.ReadCloser{
			"no body": http.NoBody, "body": io.NopCloser(strings.NewReader("order")), "broken body": &broken{},
		} {
			synctest.Test(t, func(t *testing.T) {
				c, f, e := faultyPair(t)
				if kept {
					go e.answer(nothing)
					_ = ask(c, request(t.Context(), t, ""))
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				req := request(ctx, t, "")
				req.Body, req.ContentLength = body, -1
				_, ok := body.(*broken)
				f.breaks = !ok
				go func() { _, _ = io.Copy(io.Discard, e.in) }()
				if got := ask(c, req); got != "failover: write the request: "+errBroken.Error() || c.Err() == nil {
					t.Errorf("%s, kept %v: %q, %v", name, kept, got, c.Err())
				}
			})
		}
	}
}

// answered is a connection whose other end has answered, and reads no more.
type answered struct {
	net.Conn
	answer    io.Reader
	failed    chan struct{} // a write has
	closed    chan struct{}
	once, end sync.Once
}

// Write implements net.Conn.
func (a *answered) Write([]byte) (int, error) {
	a.once.Do(func() { close(a.failed) })
	return 0, errBroken
}

// Read implements net.Conn. The answer comes late to the reader, when what was to be written has failed.
func (a *answered) Read(p []byte) (int, error) {
	<-a.failed
	select {
	case <-time.After(answerTime / 2):
	case <-a.closed:
		return 0, errClosed
	}
	n, err := a.answer.Read(p)
	if err != nil {
		<-a.closed
	}
	return n, err
}

// Close implements net.Conn.
func (a *answered) Close() error {
	a.end.Do(func() { close(a.closed) })
	return nil
}

// TestAnswerBehindAFailedWrite: an endpoint that answers before it has the whole body, and then closes, has answered. Nothing more is
// sent over such a connection, and one without an answer does not wait for ever.
func TestAnswerBehindAFailedWrite(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno": "413 no",
		"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno":                      "413 no",
		"": "failover: write the request: " + errBroken.Error(),
	} {
		synctest.Test(t, func(t *testing.T) {
			c := New(&answered{answer: strings.NewReader(answer), failed: make(chan struct{}), closed: make(chan struct{})}, 1<<10)
			began := time.Now()
			if got := ask(c, request(t.Context(), t, "order")); got != want || c.Available() != 0 || c.Err() == nil {
				t.Errorf("%q, %d available, %v; want %q", got, c.Available(), c.Err(), want)
			}
			if took := time.Since(began); took > answerTime {
				t.Errorf("it took %v", took)
			}
			synctest.Wait()
		})
	}
}

// TestWritesEndFirst: an error comes after the last write, so that what was written is known.
func TestWritesEndFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, f, e := faultyPair(t)
		f.slow = time.Minute
		go func() {
			_, _ = bufio.NewReader(e).ReadByte()
			_ = e.Close()
		}()
		began := time.Now()
		if got := ask(c, request(t.Context(), t, strings.Repeat("x", bufferSize*4))); time.Since(began) < f.slow {
			t.Errorf("%q after %v", got, time.Since(began))
		}
	})
}

// TestClosedWithAnswer: what was read before is there, and the connection stays closed; no later request is begun.
func TestClosedWithAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, e := pair(t)
		go e.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		resp, err := c.RoundTrip(request(t.Context(), t, ""), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		_ = c.Close()
		if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "ok" || c.Available() != 0 {
			t.Errorf("%q, %v, %d available", text, err, c.Available())
		}
		req, body := request(t.Context(), t, ""), &broken{}
		req.Body, req.ContentLength = body, -1
		if got := ask(c, req); got != errClosed.Error() || !body.closed {
			t.Errorf("%q; the body is closed: %v", got, body.closed)
		}
	})
}
