package health

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// timeout of checks in tests that nothing answers: as short as a busy machine allows.
const silence = 200 * time.Millisecond

// patience is the timeout of checks that are answered.
const patience = 20 * time.Second

func dialHost(ctx context.Context, to Endpoint) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", to.Address.String())
}

// listen serves each connection with a function until the test ends.
func listen(t *testing.T, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return netip.MustParseAddrPort(ln.Addr().String())
}

// answer reads a request's head and sends a text.
func answer(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, text)
	}
}

// hold reads a request's head, sends a text and waits until the client is gone.
func hold(text string) func(net.Conn) {
	return func(c net.Conn) {
		answer(text)(c)
		_, _ = io.Copy(io.Discard, c)
	}
}

// endless sends a text again and again.
func endless(head, text string) func(net.Conn) {
	return func(c net.Conn) {
		answer(head)(c)
		for {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

func refusing(t *testing.T) netip.AddrPort {
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return netip.MustParseAddrPort(ln.Addr().String())
}

func httpPlan(timeout time.Duration) *plan {
	return &plan{kind: kindHTTP, timeout: timeout, method: http.MethodGet, path: "/healthz", expected: []statuses{{200, 299}}}
}

// verdict runs a check and returns its reason.
func verdict(t *testing.T, p *plan, at netip.AddrPort) string {
	t.Helper()
	began := time.Now()
	err := newClient(dialHost).check(t.Context(), p, at)
	if took := time.Since(began); p.timeout == patience && took >= patience {
		t.Errorf("it took %v: only the timeout ended it", took)
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		serve   func(net.Conn)
		timeout time.Duration
		edit    func(*plan)
		want    string // "…" stands for anything
	}{
		"200":                 {answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), patience, nil, ""},
		"204":                 {answer("HTTP/1.1 204 No Content\r\n\r\n"), patience, nil, ""},
		"503":                 {answer("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), patience, nil, "GET /healthz: 503"},
		"503 is expected":     {answer("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), patience, expect(401, 401, 500, 503), ""},
		"200 is not expected": {answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), patience, expect(401, 401), "GET /healthz: 200"},
		"a redirect is not followed": {
			answer("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"), patience, nil, "GET /healthz: 302",
		},
		"100 first": {answer("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), patience, nil, ""},
		"another protocol": {
			answer("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), patience, nil, "GET /healthz: 101",
		},
		"no answer":          {hold(""), silence, nil, "GET /healthz: no answer within 200ms"},
		"half an answer":     {hold("HTTP/1.1 200 OK\r\nContent-"), silence, nil, "GET /healthz: no answer within 200ms"},
		"closes":             {answer(""), patience, nil, "GET /healthz: closed without an answer"},
		"closes in the head": {answer("HTTP/1.1 200 OK\r\nContent-"), patience, nil, "GET /healthz: malformed MIME header…"},
		"a body that never comes": {
			hold("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"), silence, nil, "",
		},
		"an endless body":   {endless("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 1000)), patience, nil, ""},
		"an endless header": {endless("HTTP/1.1 200 OK\r\n", "X: "+strings.Repeat("x", 1000)+"\r\n"), patience, nil, "GET /healthz: …header…"},
		"endless hints":     {endless("", "HTTP/1.1 103 Early Hints\r\n\r\n"), patience, nil, "GET /healthz: …headers exceeded…"},
		"no HTTP":           {answer("SSH-2.0-OpenSSH\r\n"), patience, nil, "GET /healthz: …malformed HTTP…"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := httpPlan(c.timeout)
			if c.edit != nil {
				c.edit(p)
			}
			got := verdict(t, p, listen(t, c.serve))
			begins, rest, isOpen := strings.Cut(c.want, "…")
			if got != c.want && (!isOpen || !strings.HasPrefix(got, begins) || !strings.Contains(got, strings.TrimSuffix(rest, "…"))) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func expect(bounds ...int) func(*plan) {
	return func(p *plan) {
		p.expected = nil
		for i := 0; i < len(bounds); i += 2 {
			p.expected = append(p.expected, statuses{bounds[i], bounds[i+1]})
		}
	}
}

// The request is what the policy has, on another port too.
func TestHTTPRequest(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	at := listen(t, func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			got <- err.Error()
			return
		}
		got <- r.Method + " " + r.RequestURI + " " + r.Host + " " + strings.SplitN(r.UserAgent(), "/", 2)[0]
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
	})
	p := httpPlan(patience)
	if reason := verdict(t, p, at); reason != "" {
		t.Error(reason)
	}
	if line, want := <-got, "GET /healthz "+at.String()+" eastway-health"; line != want {
		t.Errorf("%q, want %q", line, want)
	}
	p.method, p.path, p.authority, p.port = http.MethodHead, "/ready?full=1%202", "shop:8080", at.Port()
	if reason := verdict(t, p, netip.AddrPortFrom(at.Addr(), 1)); reason != "" {
		t.Error(reason)
	}
	if line, want := <-got, "HEAD /ready?full=1%202 shop:8080 eastway-health"; line != want {
		t.Errorf("%q, want %q", line, want)
	}
}

func TestTCP(t *testing.T) {
	t.Parallel()
	p := &plan{kind: kindTCP, timeout: patience}
	ended := make(chan error, 1)
	at := listen(t, func(c net.Conn) {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	})
	if reason := verdict(t, p, at); reason != "" {
		t.Error(reason)
	}
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Errorf("the connection ended with %v", err)
	}
	if reason := verdict(t, p, refusing(t)); reason != "connect: connection refused" {
		t.Error(reason)
	}
	for _, k := range []*plan{httpPlan(patience), {kind: kindGRPC, timeout: patience}} {
		if reason := verdict(t, k, refusing(t)); reason != "connect: connection refused" {
			t.Errorf("%s: %s", k.kind, reason)
		}
	}
}

// A dial that nothing answers ends with the check.
func TestSilentDial(t *testing.T) {
	t.Parallel()
	c := newClient(func(ctx context.Context, _ Endpoint) (net.Conn, error) {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
	})
	err := c.check(t.Context(), &plan{kind: kindTCP, timeout: time.Millisecond}, netip.AddrPort{})
	if err == nil || err.Error() != "connect: no answer within 1ms" {
		t.Error(err)
	}
}

func BenchmarkHTTP(b *testing.B) {
	ln, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go func() { _ = s.Serve(ln) }()
	defer s.Close()
	c, p, at := newClient(dialHost), httpPlan(patience), netip.MustParseAddrPort(ln.Addr().String())
	b.ReportAllocs()
	for b.Loop() {
		if err := c.check(b.Context(), p, at); err != nil {
			b.Fatal(err)
		}
	}
}
