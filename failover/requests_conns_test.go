package failover

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/eastway/eastway/failover/access"
)

// TestUpgrade: a connection that is switched to another protocol, over HTTP/1.1; each side ends on its own.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	w := newWorld(t, overHTTP, webs(here, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo" {
			t.Errorf("%v", r.Header)
		}
		c, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello ")
		_, _ = io.Copy(c, buffered)
	}))
	c := w.dial()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil) //nolint:bodyclose // the connection is closed
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "echo" {
		t.Fatalf("%v, %v", resp, err)
	}
	_, _ = io.WriteString(c, "world")
	_ = c.CloseWrite()
	if b, err := io.ReadAll(r); err != nil || string(b) != "hello world" {
		t.Errorf("%q, %v", b, err)
	}
	if line := w.line(); line["response_code"] != int64(101) || line["result"] != access.OK {
		t.Errorf("%v", line)
	}
}

// TestNotHTTP: what is not HTTP on a port that is passes as TCP, and is counted.
func TestNotHTTP(t *testing.T) {
	t.Parallel()
	for _, request := range []string{"hello\n", "get key\r\n", "\x16\x03\x01\x02", "SET key value", "GET "} {
		t.Run(fmt.Sprintf("%q", request), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, overHTTP, locals("LIVE", here))
			got, err := w.ask(request)
			if err != nil || got != "LIVE got "+request {
				t.Errorf("%q, %v", got, err)
			}
			if n := testutil.ToFloat64(w.proxy.metrics.notHTTP.WithLabelValues("shop/echo")); n != 1 {
				t.Errorf("%v counted", n)
			}
		})
	}
}

// TestConnectedAhead: a client that connects and sends nothing costs the endpoint no connection.
func TestConnectedAhead(t *testing.T) {
	t.Parallel()
	var conns atomic.Int32
	w := newWorld(t, overHTTP, endpoints(endpoint(backend(t, func(*net.TCPConn) { conns.Add(1) }), here)))
	c := w.dial()
	_ = c.CloseWrite()
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Errorf("%q, %v", b, err)
	}
	w.eventually("ended", func() bool { return w.proxy.Active() == 0 })
	if n := conns.Load(); n > 0 {
		t.Errorf("%d connections", n)
	}
}

// TestStaleConnections: an endpoint that was replaced has closed what was kept; no request is lost, whatever its method.
func TestStaleConnections(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	w := newWorld(t, overHTTP, endpoints(endpoint(backend(t, func(c *net.TCPConn) { // one answer for each connection, then silence
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			n.Add(1)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}), here)))
	for range 20 {
		if code, answer, _ := w.send("GET", "/", ""); code != 200 || answer != "ok" {
			t.Errorf("%d %q", code, answer)
		}
	}
	if n.Load() != 20 {
		t.Errorf("the endpoint got %d requests", n.Load())
	}
}

// TestDrainEndsIdleConnections: a request under way is answered, a connection without one ends clean.
func TestDrainEndsIdleConnections(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan struct{}), make(chan struct{})
	w := newWorld(t, overHTTP, webs(here, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(begun)
			<-goOn
		}
		_, _ = io.WriteString(w, "ok")
	}))
	idle, busy, silent := w.dial(), w.dial(), w.dial()
	for c, path := range map[net.Conn]string{idle: "/", busy: "/slow"} {
		_, _ = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: shop\r\n\r\n")
	}
	answer := func(c net.Conn) string {
		resp, err := http.ReadResponse(bufio.NewReader(c), nil) //nolint:bodyclose // the connection is closed
		if err != nil {
			return err.Error()
		}
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	if got := answer(idle); got != "ok" {
		t.Error(got)
	}
	<-begun
	w.eventually("three connections", func() bool { return w.proxy.Active() == 3 })
	drained := make(chan error, 1)
	go func() { drained <- w.proxy.Drain(t.Context()) }()
	for _, c := range []net.Conn{idle, silent} {
		if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
			t.Errorf("%q, %v", b, err)
		}
	}
	close(goOn)
	if got := answer(busy); got != "ok" {
		t.Error(got)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}
