package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/internal/httpserve"
	"github.com/eastway/eastway/internal/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves cfg on a free port until the test ends.
func start(t *testing.T, cfg Config) *httpserve.Server {
	t.Helper()
	if cfg.Address == "" {
		cfg.Address = "127.0.0.1:0"
	}
	ctx, cancel := context.WithCancel(t.Context())
	server, err := Listen(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return server
}

// request sends one request on a connection of its own. host "" is the address itself.
func request(t *testing.T, server *httpserve.Server, method, path, host string) (code int, header http.Header, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+server.Addr().String()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	req.Close = true
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

func TestPaths(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "eastway_test_total", Help: "x"})
	registry.MustRegister(counter)
	counter.Add(7)
	full := start(t, Config{
		Gatherer: registry,
		Status:   func() Status { return Status{Cluster: "east"} },
		Endpoints: func(namespace, name string) ([]status.Endpoint, bool) {
			return nil, namespace == "default" && name == "mockb"
		},
	})
	explained := start(t, Config{Explain: func(_ context.Context, q status.Query) ([]status.Explanation, error) {
		return []status.Explanation{{Port: q.Port}}, nil
	}})
	empty := start(t, Config{})
	tests := []struct {
		server       *httpserve.Server
		method, path string
		code         int
		body         string // a part of it
	}{
		{full, "GET", "/healthz", 200, "ok\n"},
		{full, "HEAD", "/healthz", 200, ""},
		{full, "GET", "/readyz", 200, `{"ready":true}`},
		{full, "GET", "/metrics", 200, "\neastway_test_total 7\n"},
		{full, "GET", "/status", 200, `"peers":[],"services":[]`},
		{full, "GET", "/endpoints?service=default/mockb", 200, `"endpoints":[]`},
		{full, "GET", "/endpoints?service=default/x", 404, `no such service: default/x","reason":"no_such_service"`},
		{full, "GET", "/endpoints?service=mockb", 400, "is not NAMESPACE/NAME"},
		{full, "GET", "/endpoints?service=a/b/c", 400, "is not NAMESPACE/NAME"},
		{full, "GET", "/endpoints", 400, "is not NAMESPACE/NAME"},
		{explained, "GET", "/explain?service=default/mockb&port=80", 200, `"ports":[{"port":80`},
		{explained, "GET", "/explain?service=mockb", 400, "is not NAMESPACE/NAME"},
		{explained, "GET", "/explain?service=default/mockb&port=0", 400, "is not a port number"},
		{full, "GET", "/explain?service=default/mockb", 404, ""},
		{full, "GET", "/debug/pprof/", 200, "goroutine"},
		{full, "GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile:"},
		{full, "GET", "/debug/pprof/cmdline", 200, "admin.test"},
		{full, "GET", "/debug/pprof/profile?seconds=301", 400, "at most 300"},
		{full, "GET", "/debug/pprof/trace?seconds=1e18", 400, "at most 300"},
		{full, "GET", "/debug/pprof/trace?seconds=NaN", 400, "at most 300"},
		{full, "GET", "/debug/pprof/heap?seconds=1000", 400, "at most 300"},
		{full, "GET", "/debug/pprof/allocs?debug=1", 200, "heap profile:"},
		{full, "GET", "/", 404, ""},
		{full, "POST", "/status", 405, ""},
		{full, "DELETE", "/healthz", 405, ""},
		{empty, "GET", "/healthz", 200, "ok\n"},
		{empty, "GET", "/readyz", 200, `{"ready":true}`},
		{empty, "GET", "/status", 404, ""},
		{empty, "GET", "/endpoints?service=a/b", 404, ""},
		{empty, "GET", "/metrics", 404, ""},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			t.Parallel()
			code, _, body := request(t, tt.server, tt.method, tt.path, "")
			if code != tt.code || !strings.Contains(body, tt.body) {
				t.Errorf("answered %d %q, want %d with %q", code, body, tt.code, tt.body)
			}
		})
	}
}

func TestReadyzNamesWhatFails(t *testing.T) {
	t.Parallel()
	var empty atomic.Bool
	server := start(t, Config{Checks: []Check{
		{Name: "listeners", Ready: func() error { return nil }},
		{Name: "catalog", Ready: func() error {
			if empty.Load() {
				return errors.New("no snapshot yet")
			}
			return nil
		}},
	}})
	if code, _, body := request(t, server, "GET", "/readyz", ""); code != 200 {
		t.Errorf("answered %d %q while all checks pass", code, body)
	}
	empty.Store(true)
	code, header, body := request(t, server, "GET", "/readyz", "")
	var got Readiness
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if code != 503 || header.Get("Content-Type") != "application/json" || got.Ready ||
		len(got.Failing) != 1 || got.Failing[0] != (FailingCheck{Name: "catalog", Error: "no snapshot yet"}) {
		t.Errorf("answered %d %v %+v", code, header, got)
	}
}

func TestHostHeader(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.WarnLevel)
	local := start(t, Config{Logger: zap.New(core)})
	remote := start(t, Config{AllowRemote: true})
	tests := []struct {
		host    string
		allowed bool
	}{
		{"127.0.0.1", true},
		{"127.0.0.1:15000", true},
		{"127.3.2.1:80", true},
		{"localhost:15000", true},
		{"localhost", true},
		{"[::1]:15000", true},
		{"[::1]", true},
		{"[::ffff:127.0.0.1]:80", true},
		{"evil.example", false},
		{"evil.example:15000", false},
		{"localhost.evil.example", false},
		{"127.0.0.1.evil.example:15000", false},
		{"10.0.0.1:15000", false},
		{"[2001:db8::1]:15000", false},
	}
	refused := 0
	for _, tt := range tests {
		code, _, body := request(t, local, "GET", "/healthz", tt.host)
		if (code == 200) != tt.allowed || (!tt.allowed && code != 403) {
			t.Errorf("Host %q: %d %q, want allowed %v", tt.host, code, body, tt.allowed)
		}
		if !tt.allowed {
			refused++
		}
		if code, _, body := request(t, remote, "GET", "/healthz", tt.host); code != 200 {
			t.Errorf("Host %q with AllowRemote: %d %q", tt.host, code, body)
		}
	}
	if logs.Len() != refused {
		t.Errorf("%d log lines for %d refused requests", logs.Len(), refused)
	}
}

func TestBusyPort(t *testing.T) {
	t.Parallel()
	first := start(t, Config{})
	_, err := Listen(t.Context(), Config{Address: first.Addr().String()})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("got %v", err)
	}
	want := "admin: listen on " + first.Addr().String() + ": "
	if got := err.Error(); !strings.HasPrefix(got, want) || !strings.Contains(got, "another process has this port") {
		t.Errorf("error %q tells neither address nor remedy", got)
	}
}

func TestAddressOfNobody(t *testing.T) {
	t.Parallel()
	// TEST-NET-1 (RFC 5737) is on no machine.
	_, err := Listen(t.Context(), Config{Address: "192.0.2.1:15000", AllowRemote: true})
	if !errors.Is(err, syscall.EADDRNOTAVAIL) || !strings.Contains(err.Error(), "this machine has no such address") {
		t.Errorf("got %v", err)
	}
}

// A profile under way ends with Run instead of holding it up.
func TestRunEndsProfiles(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	server, err := Listen(ctx, Config{Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	conn, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /debug/pprof/trace?seconds=200 HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	// The trace's header arrives when it has started.
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
