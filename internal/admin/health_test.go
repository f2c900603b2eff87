package admin

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/eastway/eastway/failover"
)

// A listener for probes and scrapers may be on any address, and tells nothing else.
func TestHealthOnly(t *testing.T) {
	t.Parallel()
	ready := errors.New("not yet")
	server := start(t, Config{
		Address: "0.0.0.0:0", HealthOnly: true, Gatherer: prometheus.NewRegistry(),
		Checks: []Check{{Name: "proxy", Ready: func() error { return ready }, Serving: func() error { return nil }}},
		Status: func() Status { return Status{Cluster: "secret"} },
		Endpoints: func(string, string) ([]failover.EndpointStatus, bool) {
			return []failover.EndpointStatus{}, true
		},
		Listeners: func() []failover.ListenerStatus {
			return []failover.ListenerStatus{
				{Address: netip.MustParseAddrPort("[::]:20001"), Service: "default/web"},
				{Address: netip.MustParseAddrPort("[::]:20002"), Service: "default/taken", Error: "busy"},
				{Address: netip.MustParseAddrPort("[::]:20000"), Service: "default/shop"},
			}
		},
	})
	for path, want := range map[string]int{
		PathHealthz: http.StatusOK, PathReadyz: http.StatusServiceUnavailable, PathServingz: http.StatusOK,
		PathMetrics: http.StatusOK, PathListeners: http.StatusOK,
		PathStatus: http.StatusNotFound, PathEndpoints + "?service=a/b": http.StatusNotFound, "/debug/pprof/": http.StatusNotFound,
		"/debug/pprof/goroutine": http.StatusNotFound,
	} {
		if code, _, body := request(t, server, http.MethodGet, path, "proxy.example.com"); code != want || strings.Contains(body, "secret") {
			t.Errorf("%s: %d, want %d: %s", path, code, want, body)
		}
	}
	const open = `"listeners":[{"port":20000,"service":"default/shop"},{"port":20001,"service":"default/web"}]`
	if _, _, body := request(t, server, http.MethodGet, PathListeners, ""); strings.TrimSpace(body) != `{"ready":false,`+open+`}` {
		t.Errorf("listeners: %s", body)
	}
	_, header, _ := request(t, server, http.MethodGet, PathListeners, "")
	again := func() int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+server.Addr().String()+PathListeners, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("If-None-Match", header.Get("ETag"))
		req.Close = true
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	if code := again(); code != http.StatusNotModified {
		t.Errorf("the same again: %d", code)
	}
	ready = nil
	if code := again(); code != http.StatusOK {
		t.Errorf("ready by now: %d", code)
	}
	if _, _, body := request(t, server, http.MethodGet, PathListeners, ""); strings.TrimSpace(body) != `{"ready":true,`+open+`}` {
		t.Errorf("listeners: %s", body)
	}
}
