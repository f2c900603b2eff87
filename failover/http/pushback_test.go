package http

import (
	"net/http"
	"testing"
	"time"
)

func TestPushback(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"0": 0, "25": 25 * time.Millisecond, "10000": 10 * time.Second,
		"": -1, "-1": -1, "x": -1, "1.5": -1, "10001": -1, "99999999999999999999": -1,
	} {
		h := http.Header{"Content-Type": {"application/grpc"}, "Grpc-Retry-Pushback-Ms": {text}}
		if wait, ok := pushback(h); ok != (want >= 0) || ok && wait != want {
			t.Errorf("%q: %v, %v", text, wait, ok)
		}
	}
	for _, h := range []http.Header{{"Grpc-Retry-Pushback-Ms": {"-1"}}, {"Content-Type": {"application/grpc"}}} {
		if wait, ok := pushback(h); wait != 0 || !ok {
			t.Errorf("%v: %v, %v", h, wait, ok)
		}
	}
}

func TestMarkGRPC(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind, before string
		tries        int
		want         string
	}{
		{"application/grpc", "", 0, ""},
		{"application/grpc", "3", 0, "3"},
		{"application/grpc", "", 1, "1"},
		{"application/grpc+proto", "3", 2, "5"},
		{"application/grpc", "x", 2, "2"},
		{"text/plain", "", 2, ""},
	} {
		h := http.Header{"Content-Type": {c.kind}}
		if c.before != "" {
			h.Set(previousAttempts, c.before)
		}
		if markGRPC(h, c.tries); h.Get(previousAttempts) != c.want {
			t.Errorf("%+v: %q", c, h.Get(previousAttempts))
		}
	}
}
