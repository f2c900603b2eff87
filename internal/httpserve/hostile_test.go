package httpserve

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// hostileServer serves /readyz, and /slow: a response that never completes, as to a client that does not read. It has no
// timeouts, so that a hostile client holds on to what it has for as long as the listener lets it.
func hostileServer(t *testing.T, log *zap.Logger, reg prometheus.Registerer) *Server {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	server, err := New(l, mux, log, reg)
	if err != nil {
		t.Fatal(err)
	}
	server.http.ReadTimeout, server.http.ReadHeaderTimeout, server.http.WriteTimeout, server.http.IdleTimeout = 0, 0, 0, 0
	return running(t, server)
}

// running runs a server until the test ends.
func running(t testing.TB, server *Server) *Server {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
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

// dialFrom connects from an address of this machine and sends a beginning.
func dialFrom(t *testing.T, local, address, beginning string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
	conn, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, beginning); err != nil {
		t.Fatal(err)
	}
	return conn
}

// probe asks as a kubelet does: on a connection of its own.
func probe(t *testing.T, address string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	resp, err := client.Get("http://" + address + "/readyz")
	if err != nil {
		t.Fatalf("a probe among hostile connections: %v", err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("a probe was answered %s, %v", resp.Status, err)
	}
}

// Whatever connections do, and however many there are, a probe is answered.
func TestHostileConnections(t *testing.T) {
	t.Parallel()
	const (
		get  = "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
		slow = "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
		half = "GET /readyz HTTP/1.1\r\nHost: x\r\nX-Slow: "
	)
	oneAddress := func(int) string { return "127.0.0.1" } // the probe's own
	manyAddresses := func(i int) string { return fmt.Sprintf("127.0.1.%d", 1+i) }
	for _, tt := range []struct {
		name      string
		conns     int
		from      func(i int) string
		beginning string
	}{
		{"64 silent", 64, oneAddress, ""},
		{"silent", maxConns, oneAddress, ""},
		{"slow headers", maxConns, oneAddress, half},
		{"idle after an answer", maxConns, oneAddress, get},
		{"slow readers", maxConns, oneAddress, slow},
		{"silent, from many addresses", maxConns - 1, manyAddresses, ""},
		{"slow readers, from many addresses", maxConns - 1, manyAddresses, slow},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			address := hostileServer(t, zap.NewNop(), nil).Addr().String()
			for i := range tt.conns {
				conn := dialFrom(t, tt.from(i), address, tt.beginning)
				if tt.beginning == get || tt.beginning == slow { // it is being served, or idle, when its answer has begun
					if _, err := conn.Read(make([]byte, 1)); err != nil {
						t.Fatal(err)
					}
				}
			}
			for range 3 {
				probe(t, address)
			}
		})
	}
}

// A scraper's connection survives what another source does, and what goes wrong is logged once.
func TestHostileConnectionsCostOthersNothing(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.WarnLevel)
	reg := prometheus.NewRegistry()
	server := hostileServer(t, zap.New(core), reg)
	hostileServer(t, zap.NewNop(), reg) // another one of the process: the metric is one
	address := server.Addr().String()
	const request = "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
	scraper := dialFrom(t, "127.0.0.2", address, request)
	answers := bufio.NewReader(scraper)
	ask := func() {
		t.Helper()
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err != nil || !strings.HasPrefix(string(body), "ok") {
			t.Fatalf("answered %q, %v", body, err)
		}
	}
	ask()
	var first net.Conn
	for i := range maxConns + 10 {
		if conn := dialFrom(t, "127.0.0.3", address, ""); i == 0 {
			first = conn
		}
	}
	if _, err := first.Read(make([]byte, 1)); err == nil {
		t.Error("the oldest silent connection is still open")
	}
	probe(t, address) // the hostile ones are all accepted by now
	if _, err := io.WriteString(scraper, request); err != nil {
		t.Fatal(err)
	}
	ask()
	if logs.Len() != 1 {
		t.Errorf("logged %v, want one line", logs.All())
	}
	if n, err := testutil.GatherAndCount(reg, "eastway_http_evicted_connections_total"); err != nil || n != 1 {
		t.Errorf("%d metrics, %v", n, err)
	}
	server.listener.mu.Lock()
	evicted := server.listener.full.Recent
	server.listener.mu.Unlock()
	if n := testutil.ToFloat64(server.listener.evicted); evicted < 10 || uint64(n) != evicted {
		t.Errorf("%v connections counted, %d closed", n, evicted)
	}
	if p := server.Problems(); len(p) != 1 || !strings.Contains(p[0], "is full") || !strings.Contains(p[0], "127.0.0.3") {
		t.Errorf("problems: %q", p)
	}
}
