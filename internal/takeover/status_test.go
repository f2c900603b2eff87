package takeover

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/httpserve"
	"github.com/eastway/eastway/internal/takeover/report"
)

func TestHealthListener(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	a, err := New(t.Context(), Config{
		Source: newFakeSource(), Tables: &fakeTables{}, CheckAddress: addrPort("10.96.0.1:443"), Registerer: reg,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	first, err := Listen(t.Context(), "127.0.0.1:0", a, reg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	address := first.Addr().String()
	// The next agent's, during an upgrade.
	second, err := Listen(t.Context(), address, a, reg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, s := range []*httpserve.Server{first, second} {
		wg.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	get := func(path string) (int, string) {
		t.Helper()
		resp, err := client.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	expect := func(path string, code int, words string) {
		t.Helper()
		if got, body := get(path); got != code || !strings.Contains(body, words) {
			t.Errorf("%s: %d, %q, want %d, %q", path, got, body, code, words)
		}
	}
	expect("/healthz", http.StatusOK, "ok\n")
	expect("/readyz", http.StatusServiceUnavailable, "not everything is known yet")
	expect("/metrics", http.StatusOK, `eastway_takeover_probes_total{result="timeout"} 0`)
	expect("/debug/pprof/", http.StatusNotFound, "")
	a.mu.Lock()
	a.status = report.Status{Written: time.Now(), Services: []report.ServiceStatus{{Service: "default/shop", Refused: "so it is"}}}
	a.mu.Unlock()
	a.checker.settle(io.ErrUnexpectedEOF)
	expect("/readyz", http.StatusOK, "ok\nnftables is bypassed on this node, takeover has no effect here: unexpected EOF\n")
	_, body := get("/takeovers")
	var status report.Status
	if err := json.Unmarshal([]byte(body), &status); err != nil {
		t.Fatal(err)
	}
	if status.Services[0].Refused != "so it is" || status.Datapath.Address != "10.96.0.1:443" || status.Datapath.Bypassed == "" {
		t.Errorf("/takeovers = %s", body)
	}
	cancel()
	wg.Wait()
}

// Which services are taken over is for the node itself, not for every pod that reaches it.
func TestTakeoversAreForTheNode(t *testing.T) {
	t.Parallel()
	a, err := New(t.Context(), Config{Source: newFakeSource(), Tables: &fakeTables{}})
	if err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	a.status = report.Status{Services: []report.ServiceStatus{{Service: "default/shop"}}}
	a.mu.Unlock()
	h := handler(a, prometheus.NewRegistry(), zap.NewNop())
	for from, listed := range map[string]bool{
		"127.0.0.1:4000": true, "[::1]:4000": true, "[::ffff:127.0.0.1]:4000": true, "10.0.0.7:4000": false, "[fd00::7]:4000": false,
		"[fe80::1%eth0]:4000": false, "": false,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, report.Path, http.NoBody)
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := w.Code == http.StatusOK && strings.Contains(w.Body.String(), "default/shop"); got != listed ||
			!listed && (w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "shop")) {
			t.Errorf("%s: %d, %s", from, w.Code, w.Body)
		}
	}
}
