package serve

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/entry/route"
)

// What the entry answers itself is an answer of gRPC to calls of it, and one of HTTP to others; the log and metrics have what it stands for.
func TestRefusedCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, nil)
	refused := func(status int, why route.Reason) route.Decision {
		return route.Decision{Kind: route.Refuse, Status: status, Reason: why, Rule: cart}
	}
	cert, roots := pair(t, time.Now().Add(patience), "127.0.0.1")
	decisions := map[string]route.Decision{
		"/a.B/Unmatched": refused(http.StatusNotFound, route.ReasonNoRoute),
		"/a.B/Invalid":   refused(http.StatusInternalServerError, route.ReasonInvalidBackend),
		"/a.B/Absent":    refused(http.StatusServiceUnavailable, route.ReasonNoEndpoint),
		"/a.B/Path":      refused(http.StatusBadRequest, route.ReasonBadPath),
		"/a.B/Gone":      to("127.0.0.1:1", route.H2C)(nil),
	}
	for _, tt := range []struct {
		tls  bool
		kind string
		set  func(*http.Protocols)
		is   bool
	}{
		{false, "application/grpc", h2c, true},
		{false, "application/grpc+proto", h2c, true},
		{false, "application/grpc-web", h2c, false},
		{false, "text/plain", h2c, false},
		{false, "application/grpc", http1, false},
		{true, "application/grpc;a=b", http2, true},
	} {
		l, scheme := &route.Listener{TLS: tt.tls}, "http"
		if tt.tls {
			l.Certificates, scheme = []*route.Certificate{cert}, "https"
		}
		w.apply(func(r *http.Request) route.Decision { return decisions[r.URL.Path] }, l)
		c := client(t, tt.set, roots)
		if tr, ok := c.Transport.(*http.Transport); ok {
			tr.TLSClientConfig.InsecureSkipVerify = true // the certificate has no address
		}
		for path, want := range map[string]string{
			"/a.B/Unmatched": "12 no_route", "/a.B/Invalid": "14 invalid_backend", "/a.B/Absent": "14 no_endpoint", "/a.B/Path": "13 bad_path",
			"/a.B/Gone": "14 backend_unavailable",
		} {
			r := request(t, http.MethodPost, scheme+"://"+w.address()+path, strings.NewReader("12345"))
			r.Header.Set("Content-Type", tt.kind)
			resp, body := do(t, c, r)
			if !tt.is {
				if resp.StatusCode < 400 || resp.Header.Get("Grpc-Status") != "" || body == "" {
					t.Errorf("%+v: %s: %s %v %q", tt, path, resp.Status, resp.Header, body)
				}
				continue
			}
			got := resp.Header.Get("Grpc-Status") + " " + strings.TrimPrefix(resp.Header.Get("Grpc-Message"), "eastway: ")
			if resp.StatusCode != http.StatusOK || got != want || resp.Header.Get("Content-Type") != "application/grpc" || body != "" {
				t.Errorf("%+v: %s: %s %s %q %v", tt, path, resp.Status, got, body, resp.Header)
			}
		}
		c.CloseIdleConnections()
	}
	if log := w.access.String(); strings.Contains(log, `"status":200`) || !strings.Contains(log, `"ended":"no_route"`) {
		t.Errorf("access log: %s", log)
	}
}
