package failover

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// h2client speaks HTTP/2 with prior knowledge.
func (w *world) h2client() *http.Transport {
	tr := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	tr.Protocols.SetUnencryptedHTTP2(true)
	w.t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// transports are clients of each version.
func (w *world) transports() map[string]http.RoundTripper {
	return map[string]http.RoundTripper{"1.1": w.client().Transport, "2": w.h2client()}
}

// over sends a request and returns what came, as text.
func (w *world) over(tr http.RoundTripper, method, path string, body io.Reader) (string, http.Header) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url(path), body)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return err.Error(), nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Sprint(resp.StatusCode, " ", string(b), " ", err), nil
	}
	return fmt.Sprint(resp.StatusCode, " ", string(b)), resp.Trailer
}

// nothingInFlight: no endpoint has more or fewer requests than none.
func (w *world) nothingInFlight() {
	w.t.Helper()
	w.eventually("nothing in flight", func() bool {
		for _, e := range w.proxy.Endpoints(echoName) {
			if e.Active != 0 {
				return false
			}
		}
		return true
	})
	if n := w.log.FilterMessageSnippet("panic").Len(); n > 0 {
		w.t.Errorf("net/http panicked %d times", n)
	}
}

// TestNothingStaysInFlight, whatever became of requests: each endpoint's load is 0 again.
func TestNothingStaysInFlight(t *testing.T) {
	t.Parallel()
	odd := func(status string) setup {
		return func(w *world, c *Config) {
			endpoints(endpoint(backend(w.t, func(c *net.TCPConn) {
				_, _ = http.ReadRequest(bufio.NewReader(c))
				_, _ = io.WriteString(c, "HTTP/1.1 "+status+"\r\n\r\n")
				_, _ = io.Copy(io.Discard, c)
			}), here))(w, c)
		}
	}
	for name, c := range map[string]struct {
		near setup
		want string
	}{
		"reset":                       {webs(here, resets), "200 far"},
		"503":                         {webs(here, refusing(503)), "200 far"},
		"a status that is none":       {odd("099 Odd\r\nContent-Length: 0"), "502 eastway: bad-answer\n"},
		"an unrequested switch":       {odd("101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo"), "502 eastway: bad-answer\n"},
		"a switch to nothing":         {odd("101 Switching Protocols"), "502 eastway: bad-answer\n"},
		"accepts and resets":          {endpoints(endpoint(backend(t, func(c *net.TCPConn) { reset(c) }), here)), "200 far"},
		"an answer with a huge field": {odd("200 OK\r\nX: " + strings.Repeat("x", 1<<20)), "200 far"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, overHTTP, c.near, webs(beside, says("far")))
			for range 20 {
				if got, _ := w.over(w.client().Transport, "GET", "/", nil); got != c.want && got != "200 far" {
					t.Errorf("%q, want %q", got, c.want)
				}
			}
			w.nothingInFlight()
		})
	}
}

// TestAcceptsAndResets: an endpoint that is gone when it has accepted: no request is lost of which nothing was sent.
func TestAcceptsAndResets(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "POST"} {
		for _, version := range []string{"1.1", "2"} {
			t.Run(method+" HTTP/"+version, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, overHTTP, endpoints(endpoint(backend(t, func(c *net.TCPConn) { reset(c) }), here)), webs(beside, says("far")))
				tr := w.transports()[version]
				got := map[string]int{}
				for range 100 {
					answer, _ := w.over(tr, method, "/", strings.NewReader("order"))
					got[answer]++
				}
				if n := got["200 far"]; n < 90 || method == "GET" && n < 100 {
					t.Errorf("%v", got)
				}
				for _, l := range w.access.All() {
					if m := l.ContextMap(); m["result"] == access.NoEndpoint {
						t.Errorf("%v", m)
						break
					}
				}
				w.nothingInFlight()
			})
		}
	}
}

// TestHeadAlone: an answer that ends behind its head was not begun for the client, who has got nothing of it. The request is repeated if
// that is safe, and the endpoint has failed.
func TestHeadAlone(t *testing.T) {
	t.Parallel()
	headAlone := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Length", "8")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	far := func(in *fakeIncoming) {
		if s, err := in.Accept(&tunnelpb.Answer{}); err == nil {
			serveFake(in.ctx, s, headAlone)
		}
	}
	for name, at := range map[string]setup{"endpoint": webs(here, headAlone), "peer": httpPeer("near", beside, far)} {
		for _, version := range []string{"1.1", "2"} {
			for method, want := range map[string]string{"GET": "200 far", "POST": "503 eastway: unknown-outcome\n"} {
				t.Run(name+" "+method+" HTTP/"+version, func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, overHTTP, at, httpPeer("far", abroad, func(in *fakeIncoming) {
						if s, err := in.Accept(&tunnelpb.Answer{}); err == nil {
							serveFake(in.ctx, s, says("far"))
						}
					}))
					for range 2 { // on a new connection, and on one that may be kept
						if got, _ := w.over(w.transports()[version], method, "/", strings.NewReader("order")); got != want {
							t.Errorf("%q, want %q", got, want)
						}
					}
					w.nothingInFlight()
				})
			}
		}
	}
}

// TestCancelledStreams: requests of HTTP/2 that end early leave their connection to the next one.
func TestCancelledStreams(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	w := newWorld(t, overHTTP, webs(here, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			begun <- struct{}{}
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, "ok")
	}))
	tr := w.h2client()
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url("/slow"), nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			<-begun
			cancel()
		}()
		if resp, err := tr.RoundTrip(req); err == nil {
			_ = resp.Body.Close()
			t.Error("it was answered")
		}
		if got, _ := w.over(tr, "GET", "/", nil); got != "200 ok" {
			t.Fatalf("the next request: %s", got)
		}
	}
	w.nothingInFlight()
}

// TestStreamsShareConnections: streams of HTTP/2 at the same time have few connections to the endpoint, and these end when they are unused.
func TestStreamsShareConnections(t *testing.T) {
	t.Parallel()
	var conns, requests atomic.Int32
	var contents atomic.Int64
	goOn := make(chan struct{})
	w := newWorld(t, overHTTP, func(w *world, _ *Config) {
		at := webWith(w.t, func(w http.ResponseWriter, r *http.Request) {
			contents.Add(r.ContentLength)
			requests.Add(1)
			<-goOn
			w.Header().Set("Keep-Alive", "timeout=2") // so that it is given up after a second
		}, func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				conns.Add(1)
			case http.StateClosed:
				conns.Add(-1)
			}
		})
		w.service.Endpoints[servicePort] = append(w.service.Endpoints[servicePort], endpoint(at, here))
	})
	tr := w.h2client()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got, _ := w.over(tr, "GET", "/", nil); got != "200 " {
				t.Error(got)
			}
		})
	}
	w.eventually("all there", func() bool { return requests.Load() == 50 })
	if n := conns.Load(); n > 3 {
		t.Errorf("%d connections", n)
	}
	close(goOn)
	wg.Wait()
	w.eventually("closed", func() bool { return conns.Load() == 0 })
	if n := contents.Load(); n != 0 {
		t.Errorf("requests without a body have %d bytes", n)
	}
}

// TestStreamEnds: the end of an answer, clean or not, reaches a client that has not ended its request.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"clean", "abort", "abort before the answer"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, overHTTP, webs(here, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadFull(r.Body, make([]byte, 5))
				if how == "abort before the answer" {
					panic(http.ErrAbortHandler)
				}
				_, _ = io.WriteString(w, "bye")
				_ = http.NewResponseController(w).Flush()
				if how == "abort" {
					panic(http.ErrAbortHandler)
				}
				w.Header().Set(http.TrailerPrefix+"Grpc-Status", "7")
			}))
			body, in := io.Pipe()
			defer in.Close()
			go func() { _, _ = io.WriteString(in, "hello") }()
			got, trailer := w.over(w.h2client(), "POST", "/", body)
			switch how {
			case "clean":
				if got != "200 bye" || trailer.Get("Grpc-Status") != "7" {
					t.Errorf("%q %v", got, trailer)
				}
			case "abort":
				if !strings.HasPrefix(got, "200 bye ") {
					t.Errorf("%q", got)
				}
			default:
				if got != "503 eastway: unknown-outcome\n" {
					t.Errorf("%q", got)
				}
			}
		})
	}
}

// TestPausedUpload: the client has stopped in the middle of its body when the endpoint resets.
func TestPausedUpload(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"} {
		for _, framing := range []string{
			"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
			"Content-Length: 10000\r\n\r\n" + strings.Repeat("x", 5000),
		} {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				answered := make(chan struct{})
				w := newWorld(t, overHTTP, endpoints(endpoint(backend(t, func(c *net.TCPConn) {
					_, _ = io.ReadFull(c, make([]byte, 60))
					_, _ = io.WriteString(c, answer)
					if answer != "" {
						<-answered
					}
					_ = c.SetLinger(0)
				}), here)))
				c := w.dial()
				_, _ = io.WriteString(c, "PUT / HTTP/1.1\r\nHost: shop\r\n"+framing)
				resp, err := http.ReadResponse(bufio.NewReader(c), nil) //nolint:bodyclose // the connection is closed
				close(answered)
				if err != nil {
					t.Fatalf("no answer: %v", err)
				}
				b, err := io.ReadAll(resp.Body)
				if whole := err == nil; whole != (answer == "") || (resp.StatusCode == http.StatusOK) != (answer != "") {
					t.Errorf("%d %q, %v", resp.StatusCode, b, err)
				}
			})
		}
	}
}

// TestStuckUpload: the endpoint does not read, nor does anything read the client, which goes away.
func TestStuckUpload(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := newWorld(t, overHTTP, endpoints(endpoint(backend(t, func(*net.TCPConn) { <-release }), here)))
	defer close(release)
	c := w.dial()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000000000\r\n\r\n")
	sent := make(chan struct{})
	var written atomic.Int64
	go func() {
		defer close(sent)
		for {
			n, err := c.Write(make([]byte, 64<<10))
			if written.Add(int64(n)); err != nil {
				return
			}
		}
	}()
	last := int64(-1)
	w.eventually("stuck", func() bool {
		now := written.Load()
		same := now == last && now > 1<<20
		last = now
		return same
	})
	reset(c)
	<-sent
	w.eventually("ended", func() bool { return w.proxy.Active() == 0 })
	w.nothingInFlight()
}

// TestRepeatedBodyIsWhole: a first try has answered before it has read all of the body.
func TestRepeatedBodyIsWhole(t *testing.T) {
	t.Parallel()
	const part = 40 << 10
	begun := make(chan struct{})
	got := make(chan string, 1)
	w := newWorld(t, overHTTP, endpoints(endpoint(backend(t, func(c *net.TCPConn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		_, _ = io.CopyN(io.Discard, req.Body, part)
		_, _ = io.WriteString(c, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	}), here)), webs(beside, func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		b, err := io.ReadAll(r.Body)
		got <- fmt.Sprint(len(b), " ", err)
		_, _ = io.WriteString(w, "far")
	}))
	c := w.dial()
	body := strings.Repeat("x", part)
	_, _ = fmt.Fprintf(c, "PUT / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", part, body)
	<-begun // the second try
	_, _ = fmt.Fprintf(c, "%x\r\n%s\r\n0\r\n\r\n", part, body)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil) //nolint:bodyclose // the connection is closed
	if err != nil {
		t.Fatal(err)
	}
	if g := <-got; g != fmt.Sprint(2*part, " ", nil) || resp.StatusCode != http.StatusOK {
		t.Errorf("the endpoint got %s bytes, the client %d", g, resp.StatusCode)
	}
}

// TestUpgradeWithBody: it is no upgrade, since nothing could tell where the body ends.
func TestUpgradeWithBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, overHTTP, webs(here, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%q %s", r.Header.Get("Upgrade"), b)
	}))
	c := w.dial()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: echo\r\nContent-Length: 5\r\n\r\nhello")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil) //nolint:bodyclose // the connection is closed
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != `"" hello` || !resp.Close {
		t.Errorf("%q, %v, close is %v", b, err, resp.Close)
	}
}

// TestTrailersPass, those that the head announces and others, and those of long bodies.
func TestTrailersPass(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	w := newWorld(t, overHTTP, webs(here, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodPost {
			got <- r.Trailer.Get("X-Sum")
		}
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "ok")
		w.Header().Set("X-Sum", "1")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "13")
	}))
	for version, tr := range w.transports() {
		if _, trailer := w.over(tr, "GET", "/", nil); trailer.Get("X-Sum") != "1" || trailer.Get("Grpc-Status") != "13" {
			t.Errorf("HTTP/%s: %v", version, trailer)
		}
	}
	c := w.dial()
	const size = 100 << 10
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
	_, _ = fmt.Fprintf(c, "%x\r\n%s\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", size, strings.Repeat("x", size))
	if g := <-got; g != "1" {
		t.Errorf("trailer %q", g)
	}
}

// TestContinueIsTheEndpoints: a client that expects 100 gets none when the endpoint refuses, and one before other interim answers.
func TestContinueIsTheEndpoints(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n": "HTTP/1.1 417 Expectation Failed\r\n",
		"HTTP/1.1 100 Continue\r\n\r\n" +
			"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nConnection: x\r\n\r\n" +
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n": "HTTP/1.1 100 Continue\r\n\r\n" +
			"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n",
	} {
		w := newWorld(t, overHTTP, endpoints(endpoint(backend(t, func(c *net.TCPConn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.WriteString(c, answer)
				_, _ = io.Copy(io.Discard, c)
			}
		}), here)))
		for range 20 {
			c := w.dial()
			_, _ = io.WriteString(c, "PUT / HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
			b := make([]byte, len(want))
			if n, err := io.ReadFull(c, b); err != nil || string(b) != want {
				t.Errorf("%q, %v", b[:n], err)
			}
			_ = c.Close()
		}
	}
}

// TestInterimIsNotForHTTP10: such a client would take it for the answer.
func TestInterimIsNotForHTTP10(t *testing.T) {
	t.Parallel()
	w := newWorld(t, overHTTP, webs(here, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "ok")
	}))
	c := w.dial()
	_, _ = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	if b, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(b), "HTTP/1.0 200 ") {
		t.Errorf("%q, %v", b, err)
	}
}
