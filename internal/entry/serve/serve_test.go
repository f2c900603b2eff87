package serve

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/types"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/internal/entry/route"
)

// Real time in tests of real sockets: how long something may take on a busy machine, and the pause between looks at it.
const (
	patience = time.Minute
	glance   = 10 * time.Millisecond
)

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !check() {
		select {
		case <-time.After(glance):
		case <-deadline:
			t.Fatalf("after %s still not: %s", patience, what)
		}
	}
}

// fake is a Table.
type fake struct {
	ports  []*route.Port
	match  func(*http.Request) route.Decision
	limits []*route.Limit
}

func (f *fake) Limits() []*route.Limit { return f.limits }

func (*fake) BackendTLS() []*route.BackendTLS { return nil }

func (f *fake) Ports() []*route.Port { return f.ports }

func (f *fake) Listener(port uint16, host string) *route.Listener {
	for _, p := range f.ports {
		for _, l := range p.Listeners {
			if p.Number == port && (l.Hostname == "" || l.Hostname == host) {
				return l
			}
		}
	}
	return nil
}

func (f *fake) Match(_ uint16, r *http.Request, _ uint64) route.Decision { return f.match(r) }

var cart = &route.RuleID{Kind: "HTTPRoute", Route: types.NamespacedName{Namespace: "shop", Name: "cart"}}

// to forwards everything to a backend.
func to(address string, protocol route.Protocol) func(*http.Request) route.Decision {
	b := &route.Backend{Address: address, Protocol: protocol, Service: types.NamespacedName{Namespace: "shop", Name: "cart"}}
	return func(*http.Request) route.Decision { return route.Decision{Kind: route.Forward, Rule: cart, Backend: b} }
}

// world is a server with one port and a backend.
type world struct {
	*Server
	t       *testing.T
	host    string
	port    uint16
	reg     *prometheus.Registry
	log     *lines
	access  *lines
	drain   func()
	backend *httptest.Server
}

type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func newWorld(t *testing.T, cfg Config, backend http.HandlerFunc) *world {
	t.Helper()
	w := &world{t: t, host: "127.0.0.1", reg: prometheus.NewRegistry(), log: new(lines), access: new(lines)}
	w.backend = httptest.NewUnstartedServer(backend)
	w.backend.Config.Protocols = new(http.Protocols)
	w.backend.Config.Protocols.SetHTTP1(true)
	w.backend.Config.Protocols.SetUnencryptedHTTP2(true)
	w.backend.Start()
	t.Cleanup(w.backend.Close)
	cfg.Host, cfg.Registerer = w.host, w.reg
	cfg.Log = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(w.log), zap.DebugLevel))
	cfg.Access = access.NewLog(zapcore.AddSync(w.access))
	if cfg.DrainTimeout == 0 {
		cfg.DrainTimeout = patience
	}
	var err error
	if w.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	w.port = freePort(t)
	w.drain = sync.OnceFunc(func() { w.Drain(context.WithoutCancel(t.Context())) })
	t.Cleanup(func() { w.drain() })
	return w
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String()).Port()
}

func (w *world) address() string { return net.JoinHostPort(w.host, strconv.Itoa(int(w.port))) }

// apply serves that on the port.
func (w *world) apply(match func(*http.Request) route.Decision, listeners ...*route.Listener) {
	w.t.Helper()
	p := &route.Port{Number: w.port, Listeners: listeners}
	for _, l := range listeners {
		p.TLS = l.TLS
	}
	if err := w.Apply(w.t.Context(), &fake{ports: []*route.Port{p}, match: match}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) toBackend(protocol route.Protocol) func(*http.Request) route.Decision {
	return to(w.backend.Listener.Addr().String(), protocol)
}

// client speaks one protocol.
func client(t *testing.T, set func(*http.Protocols), roots *x509.CertPool) *http.Client {
	t.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{RootCAs: roots}, DisableCompression: true}
	set(tr.Protocols)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func http1(p *http.Protocols) { p.SetHTTP1(true) }
func http2(p *http.Protocols) { p.SetHTTP2(true) }
func h2c(p *http.Protocols)   { p.SetUnencryptedHTTP2(true) }

// answer is what came of a request.
type answer struct {
	StatusCode, ProtoMajor int
	Status, Proto          string
	Header, Trailer        http.Header
	Close                  bool
}

func do(t *testing.T, c *http.Client, r *http.Request) (a answer, body string) {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.ProtoMajor, resp.Status, resp.Proto, resp.Header, resp.Trailer, resp.Close}, string(b)
}

func request(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// raw sends bytes and returns what comes until the end.
func raw(t *testing.T, address, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Logf("read: %v", err)
	}
	return string(b)
}

// pair makes a certificate for names.
func pair(t *testing.T, end time.Time, names ...string) (*route.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: end, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &route.Certificate{
		Secret: types.NamespacedName{Namespace: "infra", Name: names[0]},
		Pair:   &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
	}, pool
}

func (w *world) refusedCount(why refusal) int {
	return int(testutil.ToFloat64(w.metrics.refused.WithLabelValues(string(why))))
}

// A request comes through whole over each protocol on both sides: body, query as it is, trailers both ways.
func TestForward(t *testing.T) {
	t.Parallel()
	var got struct {
		sync.Mutex
		uri, body, trailer, agent, proto string
		hasAgent                         bool
	}
	w := newWorld(t, Config{}, func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got.Lock()
		got.uri, got.body, got.trailer, got.proto = r.RequestURI, string(b), r.Trailer.Get("X-Sum"), r.Proto
		_, got.hasAgent = r.Header["User-Agent"]
		got.Unlock()
		rw.Header().Set("Trailer", "X-Known")
		rw.Header().Set("Connection", "X-Hop")
		rw.Header().Set("X-Hop", "1")
		_, _ = io.WriteString(rw, "answer")
		rw.Header().Set("X-Known", "1")
		rw.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	})
	cert, roots := pair(t, time.Now().Add(24*time.Hour), "127.0.0.1", "shop.example.com")
	cert.Pair.Leaf.DNSNames = nil
	for _, tt := range []struct {
		client  string
		set     func(*http.Protocols)
		tls     bool
		backend route.Protocol
		want    string
	}{
		{"HTTP/1.1", http1, false, route.HTTP1, "HTTP/1.1"},
		{"HTTP/2.0", h2c, false, route.HTTP1, "HTTP/1.1"},
		{"HTTP/2.0", h2c, false, route.H2C, "HTTP/2.0"},
		{"HTTP/1.1", http1, false, route.H2C, "HTTP/2.0"},
		{"HTTP/1.1", http1, true, route.HTTP1, "HTTP/1.1"},
		{"HTTP/2.0", http2, true, route.H2C, "HTTP/2.0"},
	} {
		l := &route.Listener{TLS: tt.tls}
		scheme := "http"
		if tt.tls {
			l.Certificates, scheme = []*route.Certificate{cert}, "https"
		}
		w.apply(w.toBackend(tt.backend), l)
		c := client(t, tt.set, roots)
		if tr, ok := c.Transport.(*http.Transport); ok {
			tr.TLSClientConfig.ServerName = "shop.example.com"
		}
		r := request(t, http.MethodPost, scheme+"://"+w.address()+"/a%2Fb//c?x=%zz;y&z", strings.NewReader("hello"))
		r.ContentLength = -1
		r.Trailer = http.Header{"X-Sum": {"42"}}
		r.Header["User-Agent"] = nil
		resp, body := do(t, c, r)
		if resp.StatusCode != http.StatusOK || body != "answer" || resp.Proto != tt.client {
			t.Errorf("%+v: %s %s %q", tt, resp.Proto, resp.Status, body)
		}
		if resp.Trailer.Get("X-Known") != "1" ||
			resp.Trailer.Get("Grpc-Status") != "0" || resp.Header.Get("X-Hop") != "" && tt.backend == route.HTTP1 {
			t.Errorf("%+v: header %v, trailer %v", tt, resp.Header, resp.Trailer)
		}
		got.Lock()
		if got.uri != "/a%2Fb//c?x=%zz;y&z" ||
			got.body != "hello" || got.trailer != "42" || got.hasAgent || got.proto != tt.want {
			t.Errorf("%+v: the backend got %q %q, trailer %q, user agent %v, %s", tt,
				got.uri, got.body, got.trailer, got.hasAgent, got.proto)
		}
		got.Unlock()
		c.CloseIdleConnections()
	}
	if !strings.Contains(w.access.String(), `"route_name":"shop/cart"`) || !strings.Contains(w.access.String(), `"direction":"entering"`) {
		t.Errorf("access log: %s", w.access)
	}
}

// What a client says of itself is not believed, in any spelling, unless its address is trusted.
func TestForwardedHeaders(t *testing.T) {
	t.Parallel()
	for _, trusted := range []bool{false, true} {
		var cfg Config
		want := map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "shop.example.com"}
		if trusted {
			cfg.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			want = map[string]string{
				"X-Forwarded-For": "192.0.2.1, 127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "a.example",
				"X-Real-Ip": "192.0.2.1", "Forwarded": "for=192.0.2.1",
			}
		}
		got := make(chan http.Header, 1)
		w := newWorld(t, cfg, func(_ http.ResponseWriter, r *http.Request) { got <- r.Header })
		w.apply(w.toBackend(route.HTTP1), &route.Listener{})
		raw(t, w.address(), "GET / HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n"+
			"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n"+
			"X-Forwarded-Host: a.example\r\nForwarded: for=192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\nX_Forwarded_For: 192.0.2.2\r\n"+
			"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n")
		h := <-got
		for _, name := range append(forwarding(), "X_forwarded_for", "Upgrade", "Http2-Settings") {
			if h.Get(name) != want[name] {
				t.Errorf("trusted %v: %s: %q, want %q", trusted, name, h.Get(name), want[name])
			}
		}
	}
}

// Edits of the decision are those of both messages, also of answers that the entry makes itself.
func TestEditsRedirectsAndRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Server", "inside")
		_, _ = fmt.Fprint(rw, r.Host, r.RequestURI, r.Header["X-A"])
	})
	decisions := map[string]route.Decision{
		"/": {
			Kind: route.Forward, Backend: w.toBackend(route.HTTP1)(nil).Backend, Rule: cart, Host: "b.example", Path: "/new%2Fpath",
			Request:  []route.Edit{{Op: route.Set, Name: "X-A", Value: "1"}, {Op: route.Add, Name: "X-A", Value: "2"}},
			Response: []route.Edit{{Op: route.Remove, Name: "Server"}, {Op: route.Set, Name: "X-B", Value: "3"}},
		},
		"/moved": {
			Kind: route.Redirect, Status: http.StatusMovedPermanently, Location: "https://c.example/",
			Response: []route.Edit{{Name: "X-B", Value: "3"}},
		},
		"/cors": {Kind: route.Preflight, Status: http.StatusNoContent, Response: []route.Edit{{Name: "X-B", Value: "3"}}},
		"/none": {Kind: route.Refuse, Status: http.StatusNotFound, Reason: route.ReasonNoRoute, Message: "secret"},
		"/gone": to("127.0.0.1:"+strconv.Itoa(int(freePort(t))), route.HTTP1)(nil),
	}
	w.apply(func(r *http.Request) route.Decision { return decisions[r.URL.Path] }, &route.Listener{})
	c := client(t, http1, nil)
	for _, tt := range []struct {
		path       string
		status     int
		body, edit string
	}{
		{"/?q", http.StatusOK, "b.example/new%2Fpath?q[1 2]", "3"},
		{"/moved", http.StatusMovedPermanently, "", "3"},
		{"/cors", http.StatusNoContent, "", "3"},
		{"/none", http.StatusNotFound, "Not Found\n", ""},
		{"/gone", http.StatusServiceUnavailable, "Service Unavailable\n", ""},
	} {
		resp, body := do(t, c, request(t, http.MethodGet, "http://"+w.address()+tt.path, nil))
		if resp.StatusCode != tt.status || body != tt.body || resp.Header.Get("X-B") != tt.edit || resp.Header.Get("Server") != "" {
			t.Errorf("%s: %s %q %v", tt.path, resp.Status, body, resp.Header)
		}
	}
	if w.refusedCount(refusal(route.ReasonNoRoute)) != 1 || w.refusedCount(unavailable) != 1 {
		t.Error("refusals are not counted")
	}
	p := strings.Join(w.Problems(), "\n")
	if !strings.Contains(p, "no_route") || !strings.Contains(p, "HTTPRoute shop/cart: refused or failed: backend_unavailable") {
		t.Errorf("problems: %s", p)
	}
	if !strings.Contains(w.log.String(), unavailable.remedy()) {
		t.Errorf("no remedy in the log: %s", w.log)
	}
}
