package failover

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/eastway/eastway/failover/access"
)

// TestAtMostOnce: the nearer endpoint fails in some way, the other one would serve.
func TestAtMostOnce(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 1<<20)
	for name, c := range map[string]struct {
		near         http.HandlerFunc // nil: nothing listens there
		method, body string
		status       int
		answer       string
		near1, far   int32 // how often each got the request
	}{
		"GET, healthy":               {near: says("near"), method: "GET", status: 200, answer: "near", near1: 1},
		"POST, refused":              {method: "POST", body: "order", status: 200, answer: "far", far: 1},
		"GET, reset":                 {near: resets, method: "GET", status: 200, answer: "far", near1: 1, far: 1},
		"PUT with a body, reset":     {near: resets, method: "PUT", body: "order", status: 200, answer: "far", near1: 1, far: 1},
		"PUT that is long, reset":    {near: resets, method: "PUT", body: big, status: 503, answer: "eastway: unknown-outcome\n", near1: 1},
		"POST, reset":                {near: resets, method: "POST", body: "order", status: 503, answer: "eastway: unknown-outcome\n", near1: 1},
		"PATCH, reset":               {near: resets, method: "PATCH", body: "order", status: 503, answer: "eastway: unknown-outcome\n", near1: 1},
		"GET, 503":                   {near: refusing(503), method: "GET", status: 200, answer: "far", near1: 1, far: 1},
		"DELETE, 502":                {near: refusing(502), method: "DELETE", status: 200, answer: "far", near1: 1, far: 1},
		"POST, 503":                  {near: refusing(503), method: "POST", body: "order", status: 503, answer: "from the endpoint", near1: 1},
		"GET, 500":                   {near: refusing(500), method: "GET", status: 500, answer: "from the endpoint", near1: 1},
		"GET, 404":                   {near: refusing(404), method: "GET", status: 404, answer: "from the endpoint", near1: 1},
		"a method that is not known": {near: resets, method: "REPORT", status: 503, answer: "eastway: unknown-outcome\n", near1: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var near, far atomic.Int32
			add := endpoints(endpoint(dead(t), here))
			if c.near != nil {
				add = webs(here, counting(&near, c.near))
			}
			w := newWorld(t, overHTTP, add, webs(beside, counting(&far, func(w http.ResponseWriter, r *http.Request) {
				if b, err := io.ReadAll(r.Body); err != nil || string(b) != c.body {
					t.Errorf("the other endpoint got %d bytes, %v", len(b), err)
				}
				_, _ = io.WriteString(w, "far")
			})))
			code, answer, _ := w.send(c.method, "/", c.body)
			if code != c.status || answer != c.answer {
				t.Errorf("%d %q, want %d %q", code, answer, c.status, c.answer)
			}
			if near.Load() != c.near1 || far.Load() != c.far {
				t.Errorf("the endpoints got %d and %d requests, want %d and %d", near.Load(), far.Load(), c.near1, c.far)
			}
			line := w.line()
			if line["method"] != c.method || line["response_code"] != int64(c.status) {
				t.Errorf("%v", line)
			}
		})
	}
}

// TestLastAnswerIsPassedOn: all endpoints answer 503.
func TestLastAnswerIsPassedOn(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	busy := counting(&n, refusing(503))
	w := newWorld(t, overHTTP, webs(here, slices.Repeat([]http.HandlerFunc{busy}, 4)...))
	code, answer, header := w.send("GET", "/", "")
	if code != 503 || answer != "from the endpoint" || header.Get("X-Eastway-Reason") != "" {
		t.Errorf("%d %q %v", code, answer, header)
	}
	if n.Load() != 3 {
		t.Errorf("%d tries", n.Load())
	}
}

// TestEjectedForAnswers: five errors in a row eject an endpoint, those of gRPC too; others do not.
func TestEjectedForAnswers(t *testing.T) {
	t.Parallel()
	const ejectAfter = 5
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		kind   string // empty: it stays
	}{
		"500": {refusing(500), "consecutive_5xx"},
		"404": {refusing(404), ""},
		"cut": {resets, "broken_answer"},
		"gRPC": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Trailer", "Grpc-Status")
			w.WriteHeader(http.StatusOK)
			w.Header().Set("Grpc-Status", "14")
		}, "consecutive_5xx"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var near atomic.Int32
			w := newWorld(t, overHTTP, webs(here, counting(&near, c.answer)), webs(beside, says("far")))
			for range ejectAfter {
				w.send("POST", "/", "")
			}
			code, answer, _ := w.send("POST", "/", "")
			ejected := w.log.FilterMessage("endpoint ejected")
			if c.kind == "" {
				if near.Load() != ejectAfter+1 || ejected.Len() > 0 {
					t.Errorf("%d requests, ejected %d times", near.Load(), ejected.Len())
				}
				return
			}
			if code != 200 || answer != "far" || near.Load() > ejectAfter {
				t.Errorf("%d %q after %d errors", code, answer, near.Load())
			}
			if got := ejected.All()[0].ContextMap()["kind"]; got != c.kind {
				t.Errorf("ejected for %v", got)
			}
		})
	}
}

// TestNoHTTPEndpoint: none accepts.
func TestNoHTTPEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, overHTTP, endpoints(endpoint(dead(t), here)))
	code, _, header := w.send("GET", "/", "")
	if code != 503 || header.Get("X-Eastway-Reason") != "no-endpoint" {
		t.Errorf("%d %v", code, header)
	}
}

// TestNoEndpointIsLeft: an endpoint has had the request, and is gone then; there is no other one.
func TestNoEndpointIsLeft(t *testing.T) {
	t.Parallel()
	ln, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(freshAddress(), 0)))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, overHTTP, endpoints(endpoint(netip.MustParseAddrPort(ln.Addr().String()), here)))
	var serving sync.WaitGroup
	defer serving.Wait()
	serving.Go(func() {
		c, err := ln.AcceptTCP()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_ = ln.Close()
		reset(c)
	})
	code, _, header := w.send("GET", "/", "")
	if code != 503 || header.Get("X-Eastway-Reason") != "unknown-outcome" {
		t.Errorf("%d %v", code, header)
	}
}

// TestTransparent: the endpoint sees the request, and the client the answer, as the other side has sent it.
func TestTransparent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ request, want string }{
		"as it is": {
			"GET /a%2Fb/%7e//?q=1;2&%zz HTTP/1.1\r\nHost: shop\r\nX-One: 1\r\nX-One: 2\r\nAccept: */*\r\n\r\n",
			"GET /a%2Fb/%7e//?q=1;2&%zz HTTP/1.1\r\nHost: shop\r\nAccept: */*\r\nX-One: 1\r\nX-One: 2\r\n\r\n",
		},
		"two slashes": {
			"GET //a/b?c HTTP/1.1\r\nHost: shop\r\n\r\n",
			"GET //a/b?c HTTP/1.1\r\nHost: shop\r\n\r\n",
		},
		"absolute form": {
			"GET http://shop:80/a?b HTTP/1.1\r\nHost: shop:80\r\n\r\n",
			"GET /a?b HTTP/1.1\r\nHost: shop:80\r\n\r\n",
		},
		"OPTIONS in absolute form": {
			"OPTIONS http://shop HTTP/1.1\r\nHost: shop\r\n\r\n",
			"OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n",
		},
		"TE that Connection names": {
			"GET / HTTP/1.1\r\nHost: shop\r\nConnection: TE, X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: shop\r\nTe: trailers\r\n\r\n",
		},
		"OPTIONS *": {
			"OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n",
			"OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n",
		},
		"hop by hop": {
			"GET / HTTP/1.1\r\nHost: shop\r\nConnection: keep-alive, X-Mine, Upgrade, HTTP2-Settings\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n" +
				"TE: gzip, trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nUser-Agent: x\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: shop\r\nUser-Agent: x\r\nTe: trailers\r\n\r\n",
		},
		"a body": {
			"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhello",
			"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhello",
		},
		"chunks and trailers": {
			"POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 1)
			const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-B: 1\r\n\r\nok"
			w := newWorld(t, overHTTP, endpoints(endpoint(backend(t, func(conn *net.TCPConn) {
				b := make([]byte, len(c.want))
				n, _ := io.ReadFull(conn, b)
				got <- string(b[:n])
				_, _ = io.WriteString(conn, answer)
				_, _ = io.Copy(io.Discard, conn)
			}), here)))
			c1 := w.dial()
			if _, err := io.WriteString(c1, c.request); err != nil {
				t.Fatal(err)
			}
			if g := <-got; g != c.want {
				t.Errorf("the endpoint got\n%q, want\n%q", g, c.want)
			}
			b := make([]byte, len(answer))
			if _, err := io.ReadFull(c1, b); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 ") {
				t.Errorf("%q, %v", b, err)
			}
			if s := string(b); strings.Contains(s, "Date:") || strings.Contains(s, "Content-Type:") {
				t.Errorf("the client got fields that no endpoint has sent: %q", s)
			}
		})
	}
}

// TestStreamsBothWays: HTTP/2 with prior knowledge: parts of both bodies pass while both are open, then trailers that the head did
// not announce.
func TestStreamsBothWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, overHTTP, webs(here, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("the endpoint is spoken to in %s", r.Proto)
		}
		_ = http.NewResponseController(w).Flush()
		lines := bufio.NewReader(r.Body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				break
			}
			_, _ = io.WriteString(w, "got "+line)
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", r.Trailer.Get("X-Sum"))
	}))
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	body, in := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url("/"), body)
	if err != nil {
		t.Fatal(err)
	}
	req.Trailer = http.Header{"X-Sum": nil}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answers := bufio.NewReader(resp.Body)
	for _, line := range []string{"one\n", "two\n"} {
		_, _ = io.WriteString(in, line)
		if got, err := answers.ReadString('\n'); err != nil || got != "got "+line {
			t.Fatalf("%q, %v", got, err)
		}
	}
	req.Trailer.Set("X-Sum", "12")
	_ = in.Close()
	if b, err := io.ReadAll(answers); err != nil || len(b) > 0 {
		t.Errorf("%q, %v", b, err)
	}
	if got := resp.Trailer.Get("Grpc-Status"); got != "12" {
		t.Errorf("trailer %q", got)
	}
}

// TestInterim: 103 passes before the answer, and 100 only once the endpoint has sent it.
func TestInterim(t *testing.T) {
	t.Parallel()
	w := newWorld(t, overHTTP, webs(here, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</x>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	}))
	for path, want := range map[string]int{"/yes": 200, "/no": 417} {
		var hints, goes int
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				if code == http.StatusEarlyHints && h.Get("Link") != "" {
					hints++
				}
				return nil
			},
			Got100Continue: func() { goes++ },
		})
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, w.url(path), strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Expect", "100-continue")
		tr := &http.Transport{ExpectContinueTimeout: patience, DisableKeepAlives: true}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != want || hints != 1 || (goes == 1) != (want == 200) || (string(b) == "body") != (want == 200) {
			t.Errorf("%s: %d %q, %v, %d early hints, %d times 100", path, resp.StatusCode, b, err, hints, goes)
		}
		if resp.Header.Get("Link") != "" {
			t.Error("a field of the interim answer is in the final one")
		}
	}
}

// TestCutAnswer: an endpoint that resets in the middle of its answer; the client must not take it for whole.
func TestCutAnswer(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"length":    "Content-Length: 100\r\n\r\n",
		"chunks":    "Transfer-Encoding: chunked\r\n\r\n5\r\n",
		"until EOF": "\r\n",
	} {
		for _, version := range []string{"1.0", "1.1"} {
			t.Run(name+" HTTP/"+version, func(t *testing.T) {
				t.Parallel()
				received := make(chan struct{})
				w := newWorld(t, overHTTP, endpoints(endpoint(backend(t, func(c *net.TCPConn) {
					_, _ = http.ReadRequest(bufio.NewReader(c))
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+head+"hello")
					<-received
					_ = c.SetLinger(0)
				}), here)))
				c := w.dial()
				_, _ = io.WriteString(c, "GET / HTTP/"+version+"\r\nHost: shop\r\n\r\n")
				r := bufio.NewReader(c)
				resp, err := http.ReadResponse(r, nil) //nolint:bodyclose // the connection is closed
				if err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 5)
				if _, err := io.ReadFull(resp.Body, b); err != nil {
					t.Fatal(err)
				}
				close(received)
				if rest, err := io.ReadAll(resp.Body); err == nil {
					t.Errorf("a clean end after %q", rest)
				}
			})
		}
	}
}

// TestRequestsThroughPeer: requests pass one stream of a peer, one after the other.
func TestRequestsThroughPeer(t *testing.T) {
	t.Parallel()
	at := web(t, says("abroad"))
	w := newWorld(t, overHTTP,
		peer("b", abroad, &fakePeer{handle: func(in *fakeIncoming) { carry(t, in, at) }}),
	)
	client := w.steady()
	for range 3 {
		if code, answer, _ := w.sendBy(client, "POST", "/", "order"); code != 200 || answer != "abroad" {
			t.Errorf("%d %q", code, answer)
		}
	}
	w.eventually("logged", func() bool { return w.access.Len() == 3 })
	if n := len(w.tunnels.streams()); n != 1 {
		t.Errorf("%d streams for three requests", n)
	}
}

// TestClientLeaves: the endpoint sees that its request is not wanted any more.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	begun, left := make(chan struct{}), make(chan struct{})
	w := newWorld(t, overHTTP, webs(here, func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		close(left)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url("/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-begun
		cancel()
	}()
	if _, err = w.client().Do(req); !errors.Is(err, context.Canceled) { //nolint:bodyclose // there is none
		t.Errorf("%v", err)
	}
	<-left
	if line := w.line(); line["result"] != access.ClientReset {
		t.Errorf("%v", line)
	}
}

// TestUnreadBody: the connection goes on, or ends after the answer, when nothing has read a request's body.
func TestUnreadBody(t *testing.T) {
	t.Parallel()
	early := func(w *world, c *Config) { // it reads a body only when it has answered
		endpoints(endpoint(backend(w.t, func(c *net.TCPConn) {
			r := bufio.NewReader(c)
			for {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
				_, _ = io.Copy(io.Discard, req.Body)
			}
		}), here))(w, c)
	}
	for name, c := range map[string]struct {
		endpoint setup
		length   int64
		want     int
	}{
		"no endpoint":                       {endpoints(endpoint(dead(t), here)), 5, 503},
		"an early answer to a small body":   {early, 5, 200},
		"an early answer to an endless one": {early, 1 << 40, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, overHTTP, c.endpoint)
			conn := w.dial()
			r := bufio.NewReader(conn)
			for i := range 3 {
				_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\nhello", c.length)
				resp, err := http.ReadResponse(r, nil) //nolint:bodyclose // the connection is closed
				if err != nil || resp.StatusCode != c.want {
					t.Fatalf("request %d: %v, %v", i, resp, err)
				}
				if _, err := io.ReadAll(resp.Body); err != nil {
					t.Fatal(err)
				}
				if !resp.Close && c.length > 5 {
					t.Fatalf("request %d: close is %v", i, resp.Close)
				}
				if resp.Close {
					break
				}
			}
			w.eventually("logged", func() bool { return w.access.Len() > 0 })
			if n := w.log.FilterMessageSnippet("panic").Len(); n > 0 {
				t.Error("net/http panicked")
			}
		})
	}
}

// TestLongBodies pass both ways whole.
func TestLongBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, overHTTP, webs(here, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	}))
	sent := make([]byte, 4<<20)
	_, _ = rand.Read(sent)
	for _, length := range []int64{-1, int64(len(sent))} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url("/"), io.NopCloser(bytes.NewReader(sent)))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = length
		resp, err := w.client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d of %d bytes came back, %v", len(got), len(sent), err)
		}
	}
	w.eventually("logged", func() bool { return w.access.Len() == 2 })
	for _, l := range w.access.All() {
		if m := l.ContextMap(); m["bytes_in"] != int64(len(sent)) || m["bytes_out"] != int64(len(sent)) {
			t.Errorf("%v", m)
		}
	}
}

// TestKeepAlive: requests of one client follow each other on one connection to the endpoint, which may announce how long it keeps it.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	var conns atomic.Int32
	w := newWorld(t, overHTTP, endpoints(endpoint(backend(t, func(c *net.TCPConn) {
		conns.Add(1)
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			keep := ""
			if req.URL.Path == "/short" {
				keep = "Keep-Alive: timeout=1\r\n"
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+keep+"Content-Length: 2\r\n\r\nok")
		}
	}), here)))
	client := w.steady()
	for _, path := range []string{"/", "/", "/short", "/"} {
		if code, answer, _ := w.sendBy(client, "GET", path, ""); code != 200 || answer != "ok" {
			t.Errorf("%d %q", code, answer)
		}
	}
	if n := conns.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}
