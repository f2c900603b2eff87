package conn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
)

var errLeft = errors.New("the client has left")

// endpoint is the other end of a connection.
type endpoint struct {
	net.Conn
	in *bufio.Reader
}

// pair is a connection and its endpoint, which end with the test.
func pair(t *testing.T) (*Conn, *endpoint) {
	t.Helper()
	one, other := net.Pipe()
	c := New(one, 1<<10)
	t.Cleanup(func() {
		_ = c.Close()
		_ = other.Close()
		synctest.Wait()
	})
	return c, &endpoint{Conn: other, in: bufio.NewReader(other)}
}

// answer reads a request, and answers.
func (e *endpoint) answer(text string) {
	if r, err := http.ReadRequest(e.in); err == nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(e, text)
	}
}

func request(ctx context.Context, t *testing.T, body string) *http.Request {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://endpoint/", r)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// ask is what one request gets: its interim answers' and its answer's status, its body, and an error.
func ask(c *Conn, req *http.Request) string {
	var out strings.Builder
	resp, err := c.RoundTrip(req, func(status int, _ textproto.MIMEHeader) error {
		fmt.Fprintf(&out, "%d ", status)
		return nil
	})
	if err != nil {
		return out.String() + err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	fmt.Fprintf(&out, "%d %s", resp.StatusCode, text)
	if err != nil {
		fmt.Fprintf(&out, " %v", err)
	}
	for name, values := range resp.Trailer {
		fmt.Fprintf(&out, " %s=%s", name, values)
	}
	return out.String()
}

// TestAnswers has what comes of an answer, and whether the connection takes another request then.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\n"
	for answer, want := range map[string]struct {
		got  string
		keep bool
	}{
		head + "Content-Length: 2\r\n\r\nok":                                                                   {"200 ok", true},
		head + "Content-Length: 0\r\n\r\n":                                                                     {"200 ", true},
		"HTTP/1.1 204 No Content\r\n\r\n":                                                                      {"204 ", true},
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n":                                               {"304 ", true},
		head + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: 1\r\n\r\n":                                {"200 ok X=[1]", true},
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + head + "Content-Length: 0\r\n\r\n": {"103 102 200 ", true},
		head + "Connection: close\r\nContent-Length: 2\r\n\r\nok":                                              {"200 ok", false},
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok":                                                       {"200 ok", false},
		head + "Content-Length: 2\r\n\r\nokmore":                                                               {"200 ok", false},
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<10) + "\r\n\r\n": {
			"failover: read the answer: failover: the head of the answer has more than 1024 bytes", false,
		},
		"SSH-2.0\r\n\r\n": {`failover: read the answer: malformed HTTP response "SSH-2.0"`, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, e := pair(t)
			for _, body := range []string{"", "order"} {
				go e.answer(answer)
				if got := ask(c, request(t.Context(), t, body)); got != want.got {
					t.Errorf("%q: %q, want %q", answer, got, want.got)
				}
				if keep := c.Available() == 1 && c.Err() == nil; keep != want.keep {
					t.Errorf("%q: kept is %v", answer, keep)
				}
				if !want.keep {
					return
				}
			}
		})
	}
}

// TestEndedAnswers has answers that end with their connection.
func TestEndedAnswers(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"":                           "failover: read the answer: EOF",
		"HTTP/1.1 200 OK\r\n":        "failover: read the answer: unexpected EOF",
		"HTTP/1.1 200 OK\r\n\r\nall": "200 all",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf":               "200 half unexpected EOF",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf": "200 half unexpected EOF",
	} {
		synctest.Test(t, func(t *testing.T) {
			c, e := pair(t)
			go func() {
				e.answer(answer)
				_ = e.Close()
			}()
			if got := ask(c, request(t.Context(), t, "")); !strings.HasPrefix(got, strings.TrimSuffix(want, ": EOF")) {
				t.Errorf("%q: %q, want %q", answer, got, want)
			}
			if c.Available() != 0 || c.Err() == nil {
				t.Errorf("%q: it can be used again", answer)
			}
		})
	}
}

// TestIdleEnds: what comes while there is no request ends a connection, and no request is written to it.
func TestIdleEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*endpoint){
		"closed":      func(e *endpoint) { _ = e.Close() },
		"unsolicited": func(e *endpoint) { _, _ = io.WriteString(e, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") },
	} {
		for _, reserved := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				c, e := pair(t)
				go e.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				_ = ask(c, request(t.Context(), t, ""))
				if reserved {
					if err := c.Reserve(); err != nil || c.InFlight() != 1 || c.Available() != 0 {
						t.Errorf("reserved: %v, %d in flight, %d available", err, c.InFlight(), c.Available())
					}
				}
				go end(e)
				synctest.Wait()
				if c.Err() == nil || c.InFlight() != 0 || c.Available() != 0 {
					t.Errorf("%s: %v, %d in flight, %d available", name, c.Err(), c.InFlight(), c.Available())
				}
				if got := ask(c, request(t.Context(), t, "")); got != c.Err().Error() {
					t.Errorf("%s: %s", name, got)
				}
				if c.Reserve() == nil {
					t.Errorf("%s: it can be reserved", name)
				}
			})
		}
	}
}

// TestClientLeaves ends a request whose endpoint is silent: before the answer, of a new connection and a kept one, and in its body.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	const whole, half = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
	for name, answers := range map[string][]string{"new": {""}, "kept": {whole, ""}, "body": {half}, "body of a kept one": {whole, half}} {
		for _, body := range []string{"", "order"} {
			synctest.Test(t, func(t *testing.T) {
				c, e := pair(t)
				ctx, cancel := context.WithCancelCause(t.Context())
				go func() {
					for _, answer := range answers {
						e.answer(answer)
					}
					synctest.Wait()
					cancel(errLeft)
				}()
				var got string
				for range answers {
					got = ask(c, request(ctx, t, body))
				}
				if !strings.HasSuffix(got, errLeft.Error()) || c.Available() != 0 || c.Err() == nil {
					t.Errorf("%s with %q: %q, %v", name, body, got, c.Err())
				}
			})
		}
	}
}

// TestLeftBefore writes nothing for a client that has left.
func TestLeftBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, e := pair(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errLeft)
		if got := ask(c, request(ctx, t, "")); got != errLeft.Error() {
			t.Error(got)
		}
		if n, err := e.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}

// TestEarlyAnswer: a connection whose request was not sent whole takes no other one.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, e := pair(t)
		body, more := io.Pipe()
		req := request(t.Context(), t, "")
		req.Body, req.ContentLength = body, -1
		go func() {
			_, _ = http.ReadRequest(e.in)
			_, _ = io.WriteString(e, "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno")
		}()
		if got := ask(c, req); got != "413 no" || c.Available() != 0 {
			t.Errorf("%q, %d available", got, c.Available())
		}
		_ = more.Close()
	})
}

// TestBodyLeft: an answer that is not read to its end ends its connection.
func TestBodyLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, e := pair(t)
		go e.answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhalf")
		resp, err := c.RoundTrip(request(t.Context(), t, ""), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if c.Available() != 0 || c.Err() == nil {
			t.Error("it can be used again")
		}
	})
}

// TestSwitch: the bytes behind a switch are the other protocol's, and the end of the request is not that of the connection.
func TestSwitch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, e := pair(t)
		ctx, cancel := context.WithCancel(t.Context())
		req := request(ctx, t, "")
		go e.answer("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nhel")
		resp, err := c.RoundTrip(req, nil) //nolint:bodyclose // both is closed
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		both, ok := resp.Body.(io.ReadWriteCloser)
		if !ok || c.Available() != 0 || c.Err() == nil {
			t.Fatalf("%T, %d available, %v", resp.Body, c.Available(), c.Err())
		}
		go func() { _, _ = io.WriteString(e, "lo") }()
		text := make([]byte, len("hello"))
		if _, err := io.ReadFull(both, text); err != nil || string(text) != "hello" {
			t.Errorf("%q, %v", text, err)
		}
		go func() { _, _ = io.WriteString(both, "bye") }()
		if _, err := io.ReadFull(e, text[:3]); err != nil || string(text[:3]) != "bye" {
			t.Errorf("%q, %v", text, err)
		}
		_ = both.Close()
		if _, err := e.Read(text); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
}
