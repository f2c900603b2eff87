package serve

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/entry/route"
)

// Certificates are chosen by the name of each connection, from the table of that time.
func TestSNI(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, func(http.ResponseWriter, *http.Request) {})
	a, _ := pair(t, time.Now().Add(time.Hour), "a.example")
	b, _ := pair(t, time.Now().Add(365*24*time.Hour), "b.example")
	w.apply(w.toBackend(route.HTTP1), &route.Listener{TLS: true, Hostname: "a.example", Certificates: []*route.Certificate{a}},
		&route.Listener{TLS: true, Hostname: "b.example", Certificates: []*route.Certificate{b}})
	shown := func(name string) (string, error) {
		d := tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true}}
		c, err := d.DialContext(t.Context(), "tcp", w.address())
		if err != nil {
			return "", err
		}
		defer c.Close()
		secured, _ := c.(*tls.Conn)
		return secured.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
	}
	for _, name := range []string{"a.example", "b.example"} {
		if got, err := shown(name); got != name {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := shown("c.example"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("c.example: %v", err)
	}
	eventually(t, "the refusal is counted", func() bool { return w.refusedCount(badTLS) == 1 })
	p := strings.Join(w.Problems(), "\n")
	if !strings.Contains(p, "certificate of Secret infra/a.example ends at") || strings.Contains(p, "infra/b.example") {
		t.Errorf("problems: %s", p)
	}
	next, _ := pair(t, time.Now().Add(365*24*time.Hour), "a2.example")
	w.apply(w.toBackend(route.HTTP1), &route.Listener{TLS: true, Hostname: "a.example", Certificates: []*route.Certificate{next}})
	if got, err := shown("a.example"); got != "a2.example" {
		t.Errorf("after the change: %q, %v", got, err)
	}
	old := &tls.Config{MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true}
	if _, err := tls.Dial("tcp", w.address(), old); err == nil {
		t.Error("TLS 1.1 is accepted")
	}
}

// A connection that was switched carries bytes both ways and half-closes.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, func(rw http.ResponseWriter, _ *http.Request) {
		c, buffered, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"X-Edit: backend\r\nServer: inside\r\n\r\n")
		b, _ := io.ReadAll(buffered)
		_, _ = fmt.Fprintf(c, "got %s", b)
	})
	match := w.toBackend(route.HTTP1)
	w.apply(func(r *http.Request) route.Decision {
		d := match(r)
		d.Timeouts.Request = time.Hour
		d.Response = []route.Edit{{Op: route.Set, Name: "X-Edit", Value: "1"}, {Op: route.Remove, Name: "Server"}}
		return d
	}, &route.Listener{})
	c, err := net.Dial("tcp", w.address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	// The client does not wait for the answer.
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81GET / HTTP/1.1\n")
	r := bufio.NewReader(c)
	first, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	b, err := io.ReadAll(r)
	b = append([]byte(first), b...)
	if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 101 ") || !strings.HasSuffix(string(b), "got \x81GET / HTTP/1.1\n") ||
		strings.Count(string(b), "X-Edit: 1") != 1 || strings.Contains(string(b), "backend") || strings.Contains(string(b), "Server") {
		t.Errorf("%q, %v", b, err)
	}
}

// Expect: 100-continue is the backend's to answer, and its interim answers pass.
func TestInterimAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Link", "</a.css>")
		rw.WriteHeader(http.StatusEarlyHints)
		if r.URL.Path == "/refused" {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.Copy(rw, r.Body)
	})
	w.apply(w.toBackend(route.HTTP1), &route.Listener{})
	const head = "POST %s HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
	for path, want := range map[string]string{"/": "HTTP/1.1 100 Continue", "/refused": "HTTP/1.1 401 Unauthorized"} {
		c, err := net.Dial("tcp", w.address())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = fmt.Fprintf(c, head, path)
		r := bufio.NewReader(c)
		var all strings.Builder
		for !strings.Contains(all.String(), want) {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("%s: %v after %q", path, err, all.String())
			}
			all.WriteString(line)
		}
		if path == "/" {
			_, _ = io.WriteString(c, "hello")
		}
		rest, _ := io.ReadAll(r)
		all.Write(rest)
		if !strings.Contains(all.String(), "HTTP/1.1 103 Early Hints") || strings.Contains(all.String(), " 100 ") != (path == "/") ||
			strings.HasSuffix(all.String(), "hello") != (path == "/") {
			t.Errorf("%s: %q", path, all.String())
		}
		c.Close()
	}
}

// What parsers could read in different ways is refused before a route is looked for.
func TestHostile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, func(http.ResponseWriter, *http.Request) { t.Error("a request came through") })
	w.apply(w.toBackend(route.HTTP1), &route.Listener{})
	for name, tt := range map[string]struct{ text, want string }{
		"no host":         {"GET / HTTP/1.1\r\n\r\n", "400"},
		"two hosts":       {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
		"user in host":    {"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "400"},
		"path in host":    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"},
		"host mismatch":   {"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		"length and TE":   {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		"connect":         {"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", "400"},
		"large header":    {"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", maxHeaderBytes) + "\r\n\r\n", "431"},
		"many fields":     {"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: x\r\n", maxFields) + "\r\n", "431"},
		"TLS":             {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 40), "400"},
		"another version": {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", "400"},
	} {
		before := w.refusedCount(malformed)
		if got := raw(t, w.address(), tt.text); !strings.HasPrefix(got, "HTTP/1.1 "+tt.want) {
			t.Errorf("%s: %q", name, got)
		}
		eventually(t, name+" is counted", func() bool { return w.refusedCount(malformed) == before+1 })
	}
	c := client(t, h2c, nil)
	r := request(t, http.MethodGet, "http://"+w.address()+"/", nil)
	r.Host = "a,b"
	if resp, _ := do(t, c, r); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("HTTP/2 with such a host: %s", resp.Status)
	}
}

// A POST is not sent again by itself when the backend has it and its connection ends, whatever headers it has.
func TestNotSentTwice(t *testing.T) {
	t.Parallel()
	var posts atomic.Int32
	w := newWorld(t, Config{}, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/warm" {
			_, _ = io.Copy(io.Discard, r.Body)
			posts.Add(1)
			if r.Header.Get("Idempotency-Key") != "1" || r.Header.Get("X-Idempotency-Key") != "2" {
				t.Errorf("header: %v", r.Header)
			}
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(rw, "ok")
	})
	w.apply(w.toBackend(route.HTTP1), &route.Listener{})
	c := client(t, http1, nil)
	do(t, c, request(t, http.MethodPost, "http://"+w.address()+"/warm", nil)) // its connection is used again
	r := request(t, http.MethodPost, "http://"+w.address()+"/", strings.NewReader("body"))
	r.Header.Set("Idempotency-Key", "1")
	r.Header.Set("X-Idempotency-Key", "2")
	resp, _ := do(t, c, r)
	if resp.StatusCode != http.StatusBadGateway || resp.Close || posts.Load() != 1 {
		t.Errorf("%s, %d POSTs", resp.Status, posts.Load())
	}
}

// An upload of 100 MB passes with memory that does not grow with it, over both protocols.
func TestUploadInBoundedMemory(t *testing.T) { //nolint:paralleltest // it measures the process
	var peak atomic.Uint64
	w := newWorld(t, Config{}, func(rw http.ResponseWriter, r *http.Request) {
		n := int64(0)
		for {
			k, err := io.CopyN(io.Discard, r.Body, 10<<20)
			n += k
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapInuse))
			if err != nil {
				break
			}
		}
		_, _ = fmt.Fprint(rw, n)
	})
	w.apply(w.toBackend(route.HTTP1), &route.Listener{})
	for _, set := range []func(*http.Protocols){http1, h2c} {
		var before runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		peak.Store(0)
		const size = 100 << 20
		r := request(t, http.MethodPost, "http://"+w.address()+"/", io.LimitReader(zeros{}, size))
		if _, body := do(t, client(t, set, nil), r); body != fmt.Sprint(size) {
			t.Errorf("the backend got %s bytes", body)
		}
		if grown := int64(peak.Load()) - int64(before.HeapInuse); grown > 32<<20 {
			t.Errorf("memory grew by %d bytes", grown)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// Many silent and slow clients do not keep others out: they make room, and are closed.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{MaxConns: 64, Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
		func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "ok") })
	w.apply(w.toBackend(route.HTTP1), &route.Listener{})
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for i := range 200 {
		c, err := net.Dial("tcp", w.address())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost:"[:i%22])
	}
	if resp, body := do(t, client(t, http1, nil), request(t, http.MethodGet, "http://"+w.address()+"/", nil)); body != "ok" {
		t.Errorf("%s %q", resp.Status, body)
	}
	if n := w.held(); n > 64 {
		t.Errorf("%d connections", n)
	}
}

// A source has no more than its share, and the refusal names it.
func TestSourceShare(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := newWorld(t, Config{MaxConns: 64}, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	w.apply(w.toBackend(route.HTTP1), &route.Listener{})
	var conns []net.Conn
	defer func() {
		close(release)
		for _, c := range conns {
			c.Close()
		}
	}()
	for range minSourceConns + 1 {
		c, err := net.Dial("tcp", w.address())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		want := len(conns)
		eventually(t, "its request is under way, or it is refused", func() bool {
			w.slotsMu.Lock()
			defer w.slotsMu.Unlock()
			return w.slots.held-w.slots.idle.Len() == min(want, minSourceConns) && (want <= minSourceConns || w.refusedCount(sourceFull) == 1)
		})
	}
	if p := strings.Join(w.Problems(), "\n"); !strings.Contains(p, "source 127.0.0.1/32: refused or failed: source_connections") {
		t.Errorf("problems: %s", p)
	}
}

// Requests beyond a limit get 429 with Retry-After, over a change of the table too.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, func(http.ResponseWriter, *http.Request) {})
	match := w.toBackend(route.HTTP1)
	limited := func(*http.Request) route.Decision {
		d := match(nil)
		d.Limits = []*route.Limit{{Key: "shop/cart", Rate: &v1alpha1.RateLimit{Rules: []v1alpha1.RateLimitRule{
			{Quota: 2, FillInterval: metav1.Duration{Duration: time.Hour}, Match: v1alpha1.RateLimitMatch{Hosts: []string{"a.example"}}},
		}}}}
		return d
	}
	c := client(t, http1, nil)
	for i, want := range []int{200, 200, 429, 429} {
		table := &fake{
			ports: []*route.Port{{Number: w.port, Listeners: []*route.Listener{{}}}}, match: limited, limits: []*route.Limit{{Key: "shop/cart"}},
		}
		if err := w.Apply(t.Context(), table); err != nil {
			t.Fatal(err)
		}
		r := request(t, http.MethodGet, "http://"+w.address()+"/", nil)
		r.Host = "a.example"
		resp, _ := do(t, c, r)
		if resp.StatusCode != want || (want == 429) != (resp.Header.Get("Retry-After") == "1800") {
			t.Errorf("%d: %s %v", i, resp.Status, resp.Header)
		}
	}
	if resp, _ := do(t, c, request(t, http.MethodGet, "http://"+w.address()+"/", nil)); resp.StatusCode != http.StatusOK {
		t.Errorf("another host: %s", resp.Status)
	}
	if w.refusedCount(rateLimited) != 2 || !strings.Contains(w.access.String(), `"response_flags":"RL"`) {
		t.Errorf("%d, %s", w.refusedCount(rateLimited), w.access)
	}
	if w.apply(limited, &route.Listener{}); len(w.limits.of) != 0 {
		t.Error("a limit that is gone is remembered")
	}
}

// While a drain delays, new connections are served, and their clients are to leave.
func TestDrainDelay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{DrainDelay: time.Hour}, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "ok") })
	w.apply(w.toBackend(route.HTTP1), &route.Listener{})
	if err := w.Ready(); err != nil {
		t.Error(err)
	}
	ctx, hurry := context.WithCancel(context.WithoutCancel(t.Context()))
	var draining sync.WaitGroup
	draining.Go(func() { w.Drain(ctx) })
	w.drain = func() { hurry(); draining.Wait() }
	eventually(t, "it drains", func() bool { return w.Ready() != nil })
	for _, set := range []func(*http.Protocols){http1, h2c} {
		resp, body := do(t, client(t, set, nil), request(t, http.MethodGet, "http://"+w.address()+"/", nil))
		if body != "ok" || resp.ProtoMajor == 1 && !resp.Close {
			t.Errorf("while it drains: %s, close %v", resp.Status, resp.Close)
		}
	}
}

// A drain closes the listener; a request under way ends whole.
func TestDrain(t *testing.T) {
	t.Parallel()
	begun, release := make(chan struct{}), make(chan struct{})
	w := newWorld(t, Config{}, func(rw http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-release
		_, _ = io.WriteString(rw, "ok")
	})
	w.apply(w.toBackend(route.HTTP1), &route.Listener{})
	slow := make(chan string, 1)
	go func() { slow <- raw(t, w.address(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n") }()
	<-begun
	var draining sync.WaitGroup
	draining.Go(w.drain)
	eventually(t, "the listener is closed", func() bool {
		c, err := net.Dial("tcp", w.address())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(release)
	if got := <-slow; !strings.HasSuffix(got, "ok") || !strings.Contains(got, "Connection: close") {
		t.Errorf("the request under way: %q", got)
	}
	draining.Wait()
}

// A drain that takes too long ends what is left, switched connections too.
func TestDrainEnds(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 2)
	w := newWorld(t, Config{DrainTimeout: time.Millisecond}, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			c, _, err := http.NewResponseController(rw).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			begun <- struct{}{}
			_, _ = io.Copy(io.Discard, c)
			return
		}
		begun <- struct{}{}
		<-r.Context().Done()
	})
	w.apply(w.toBackend(route.HTTP1), &route.Listener{})
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for _, more := range []string{"", "Connection: Upgrade\r\nUpgrade: websocket\r\n"} {
		c, err := net.Dial("tcp", w.address())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n"+more+"\r\n")
		<-begun
	}
	w.drain()
	if n := w.held(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// The timeout of a route is answered with 504.
func TestTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	match := w.toBackend(route.HTTP1)
	w.apply(func(*http.Request) route.Decision {
		d := match(nil)
		d.Timeouts.BackendRequest = time.Millisecond
		return d
	}, &route.Listener{})
	resp, _ := do(t, client(t, http1, nil), request(t, http.MethodGet, "http://"+w.address()+"/", nil))
	if resp.StatusCode != http.StatusGatewayTimeout {
		t.Error(resp.Status)
	}
	if w.refusedCount(timedOut) != 1 {
		t.Error("it is not counted")
	}
}

// Copies of what the backend gets go to mirrors with their body; the request is answered by its backend.
func TestMirror(t *testing.T) {
	t.Parallel()
	copies := make(chan string, 1)
	mirror := newWorld(t, Config{}, func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		copies <- r.Method + " " + r.Host + r.RequestURI + " " + string(b)
		for _, name := range []string{"X-Hop", "Proxy-Authorization", "Keep-Alive", "X_forwarded_for", "Connection", "Upgrade"} {
			if values := r.Header.Values(name); len(values) > 0 {
				t.Errorf("%s: %q", name, values)
			}
		}
		if got := r.Header.Get("X-Forwarded-For"); got != "127.0.0.1" {
			t.Errorf("X-Forwarded-For: %q", got)
		}
	})
	w := newWorld(t, Config{}, func(rw http.ResponseWriter, r *http.Request) { _, _ = io.Copy(rw, r.Body) })
	match := w.toBackend(route.HTTP1)
	w.apply(func(*http.Request) route.Decision {
		d := match(nil)
		d.Mirrors = []*route.Backend{mirror.toBackend(route.HTTP1)(nil).Backend}
		d.Host, d.Path = "in.example", "/c"
		return d
	}, &route.Listener{})
	r := request(t, http.MethodPost, "http://"+w.address()+"/a?b", strings.NewReader("hello"))
	r.Host = "a.example"
	r.Header = http.Header{
		"Connection": {"X-Hop, Upgrade"}, "Upgrade": {"websocket"}, "X-Hop": {"1"}, "Keep-Alive": {"1"},
		"Proxy-Authorization": {"secret"}, "X_Forwarded_For": {"192.0.2.1"},
	}
	if _, body := do(t, client(t, http1, nil), r); body != "hello" {
		t.Errorf("%q", body)
	}
	if got := <-copies; got != "POST in.example/c?b hello" {
		t.Errorf("%q", got)
	}
}

// How long a client may take for a body depends on what has come of it, and on the time that was spent waiting for it.
func TestBodyPace(t *testing.T) {
	t.Parallel()
	var p bodyPace
	step := func(n int, took, want time.Duration) {
		t.Helper()
		p.read(n, took)
		if got := p.patience(); got != want {
			t.Errorf("after %d bytes in %v: %v, want %v", n, took, got, want)
		}
	}
	step(0, 0, bodyIdle)
	step(1, 20*time.Second, 10*time.Second)
	step(10*bodyRate, 0, 20*time.Second)
	step(1<<20, time.Hour, -1)
	step(1<<30, 0, bodyIdle)
	p.streams = true
	step(0, 24*time.Hour, 0)
}
