package http

import (
	"net/http"
	"testing"
	"time"
)

func TestStatusOf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status        int
		kind          string
		head, trailer string
		want          int
	}{
		"no gRPC":             {200, "text/plain", "14", "14", 200},
		"grpc-web":            {200, "application/grpc-web", "14", "", 200},
		"fine":                {200, "application/grpc", "", "0", 200},
		"in the trailers":     {200, "application/grpc+proto", "", "14", 503},
		"in the head":         {200, "application/grpc", "13", "", 500},
		"DATA_LOSS":           {200, "application/grpc; x", "", "15", 500},
		"DEADLINE_EXCEEDED":   {200, "application/grpc", "", "4", 504},
		"RESOURCE_EXHAUSTED":  {200, "application/grpc", "", "8", 429},
		"UNKNOWN":             {200, "application/grpc", "", "2", 200},
		"UNIMPLEMENTED":       {200, "application/grpc", "", "12", 200},
		"no number":           {200, "application/grpc", "", "x", 200},
		"none":                {200, "application/grpc", "", "", 200},
		"the HTTP status too": {503, "application/grpc", "", "0", 503},
	} {
		r := &http.Response{StatusCode: c.status, Header: http.Header{}, Trailer: http.Header{}}
		r.Header.Set("Content-Type", c.kind)
		if c.head != "" {
			r.Header.Set("Grpc-Status", c.head)
		}
		if c.trailer != "" {
			r.Trailer.Set("Grpc-Status", c.trailer)
		}
		if got := statusOf(r); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestGRPCTimeout(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"": -1, "1": -1, "S": -1, "1s": -1, "-1S": -1, "+1S": -1, "1.5S": -1, "123456789S": -1,
		"0n": 0, "1n": 1, "20u": 20 * time.Microsecond, "300m": 300 * time.Millisecond, "4S": 4 * time.Second, "5M": 5 * time.Minute,
		"6H": 6 * time.Hour, "25H": 24 * time.Hour, "99999999H": 24 * time.Hour, "99999999n": 99999999,
	} {
		h := http.Header{"Content-Type": {"application/grpc+proto"}, "Grpc-Timeout": {text}}
		if got, ok := grpcTimeout(h); ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
	if _, ok := grpcTimeout(http.Header{"Grpc-Timeout": {"1S"}}); ok {
		t.Error("a request that is not gRPC has a deadline")
	}
}
