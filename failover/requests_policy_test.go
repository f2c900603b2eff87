package failover

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover/access"
)

// retries is a policy with these.
func retries(r v1alpha1.Retries) setup { return policy(&v1alpha1.TrafficPolicySpec{Retries: &r}) }

// grpcError is an answer without a body.
func grpcError(status string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", status)
	}
}

// TestRetriesByPolicy: the nearer endpoint fails in some way, the other one would serve.
func TestRetriesByPolicy(t *testing.T) {
	t.Parallel()
	post := []string{"POST"}
	for name, c := range map[string]struct {
		policy    v1alpha1.Retries
		near      http.HandlerFunc
		method    string
		status    int
		near1     int32
		far       int32
		retriedBy string
	}{
		"POST that is listed, reset":    {v1alpha1.Retries{Methods: post}, resets, "POST", 200, 1, 1, "unknown"},
		"POST that is listed, 503":      {v1alpha1.Retries{Methods: post}, refusing(503), "POST", 200, 1, 1, "503"},
		"POST on everything, reset":     {v1alpha1.Retries{RetryOn: "5xx,reset"}, resets, "POST", 503, 1, 0, ""},
		"POST on everything, 503":       {v1alpha1.Retries{RetryOn: "5xx,503"}, refusing(503), "POST", 503, 1, 0, ""},
		"GET that is not listed":        {v1alpha1.Retries{Methods: post}, resets, "GET", 503, 1, 0, ""},
		"no attempts, reset":            {v1alpha1.Retries{Attempts: new(uint32(0))}, resets, "GET", 503, 1, 0, ""},
		"no attempts, 503":              {v1alpha1.Retries{Attempts: new(uint32(0))}, refusing(503), "GET", 503, 1, 0, ""},
		"on reset, 503":                 {v1alpha1.Retries{RetryOn: "reset"}, refusing(503), "GET", 503, 1, 0, ""},
		"on reset, reset":               {v1alpha1.Retries{RetryOn: "reset"}, resets, "GET", 200, 1, 1, "unknown"},
		"on connect-failure, reset":     {v1alpha1.Retries{RetryOn: "connect-failure"}, resets, "GET", 503, 1, 0, ""},
		"on 5xx, 500":                   {v1alpha1.Retries{RetryOn: "5xx"}, refusing(500), "GET", 200, 1, 1, "500"},
		"on retriable-4xx, 409":         {v1alpha1.Retries{RetryOn: "retriable-4xx"}, refusing(409), "GET", 200, 1, 1, "409"},
		"on 429":                        {v1alpha1.Retries{RetryOn: "retriable-status-codes,429"}, refusing(429), "GET", 200, 1, 1, "429"},
		"on unavailable, gRPC":          {v1alpha1.Retries{RetryOn: "unavailable", Methods: post}, grpcError("14"), "POST", 200, 1, 1, "grpc-14"},
		"on unavailable, not listed":    {v1alpha1.Retries{RetryOn: "unavailable"}, grpcError("14"), "POST", 200, 1, 0, ""},
		"on unavailable, gRPC internal": {v1alpha1.Retries{RetryOn: "unavailable", Methods: post}, grpcError("13"), "POST", 200, 1, 0, ""},
		"no budget": {v1alpha1.Retries{Budget: &v1alpha1.RetryBudget{
			Percent: new(int32(0)), MinRetryConcurrency: new(uint32(0)),
		}}, resets, "GET", 503, 1, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var near, far atomic.Int32
			w := newWorld(t, overHTTP, retries(c.policy), webs(here, counting(&near, c.near)), webs(beside, counting(&far, says("far"))))
			code, answer, _ := w.send(c.method, "/", "order")
			if code != c.status || (answer == "far") != (c.far > 0) {
				t.Errorf("%d %q, want %d", code, answer, c.status)
			}
			if near.Load() != c.near1 || far.Load() != c.far {
				t.Errorf("the endpoints got %d and %d requests, want %d and %d", near.Load(), far.Load(), c.near1, c.far)
			}
			if c.retriedBy != "" && testutil.ToFloat64(w.proxy.metrics.retries.WithLabelValues("shop/echo", c.retriedBy)) != 1 {
				t.Errorf("it was not counted as repeated for %s", c.retriedBy)
			}
		})
	}
}

// TestRetriesAtTheSameEndpoint: only where a policy sets attempts.
func TestRetriesAtTheSameEndpoint(t *testing.T) {
	t.Parallel()
	soon := &v1alpha1.RetryBackoff{MaxInterval: &metav1.Duration{Duration: v1alpha1.DefaultBackoff}}
	for name, c := range map[string]struct {
		policy v1alpha1.Retries
		want   int32
	}{
		"by default": {v1alpha1.Retries{}, 1},
		"attempts":   {v1alpha1.Retries{Attempts: new(uint32(3)), Backoff: soon}, 4},
	} {
		var n atomic.Int32
		w := newWorld(t, overHTTP, retries(c.policy), webs(here, counting(&n, refusing(503))))
		if code, answer, _ := w.send("GET", "/", ""); code != 503 || answer != "from the endpoint" || n.Load() != c.want {
			t.Errorf("%s: %d %q after %d requests, want %d", name, code, answer, n.Load(), c.want)
		}
	}
}

// TestClientLeavesBeforeRetry: nothing is sent any more.
func TestClientLeavesBeforeRetry(t *testing.T) {
	t.Parallel()
	var near, far atomic.Int32
	minute := &metav1.Duration{Duration: time.Minute}
	w := newWorld(t, overHTTP, retries(v1alpha1.Retries{Backoff: &v1alpha1.RetryBackoff{BaseInterval: minute, MaxInterval: minute}}),
		webs(here, counting(&near, refusing(503))), webs(beside, counting(&far, says("far"))))
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url("/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	retried := w.proxy.metrics.retries.WithLabelValues("shop/echo", "503")
	answered := make(chan error, 1)
	go func() {
		resp, err := w.client().Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		answered <- err
	}()
	w.eventually("to be repeated", func() bool { return testutil.ToFloat64(retried) == 1 })
	cancel()
	if err := <-answered; err == nil {
		t.Error("it was answered")
	}
	if line := w.line(); line["result"] != access.ClientReset || near.Load() != 1 || far.Load() != 0 {
		t.Errorf("%d and %d requests, %v", near.Load(), far.Load(), line)
	}
	w.nothingInFlight()
}

// hashed is a policy with that key.
func hashed(h v1alpha1.ConsistentHash) setup {
	return policy(&v1alpha1.TrafficPolicySpec{LoadBalancer: &v1alpha1.LoadBalancer{ConsistentHash: &h}})
}

// TestRequestsOfOneKey: all go to the same endpoint, on whichever connections they come.
func TestRequestsOfOneKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, overHTTP, hashed(v1alpha1.ConsistentHash{HTTPQueryParameterName: "user"}), webs(here, says("0"), says("1"), says("2")))
	seen := make(map[string]bool)
	for user := range 12 {
		path := fmt.Sprintf("/?user=%d", user)
		_, first, _ := w.send("GET", path, "")
		seen[first] = true
		for range 4 {
			if _, again, _ := w.send("GET", path, ""); again != first {
				t.Errorf("user %d was at %s, then at %s", user, first, again)
			}
		}
	}
	if len(seen) < 2 {
		t.Errorf("all users are at %v", seen)
	}
}

// TestCookieKeepsTheEndpoint: a client that has none gets one with its first answer, and stays where that came from.
func TestCookieKeepsTheEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, overHTTP, hashed(v1alpha1.ConsistentHash{HTTPCookie: &v1alpha1.HTTPCookie{
		Name: "user", Path: "/", TTL: &metav1.Duration{Duration: time.Hour},
	}}), webs(here, says("0"), says("1"), says("2")))
	for range 10 {
		client := w.client()
		client.Jar, _ = cookiejar.New(nil)
		_, first, header := w.sendBy(client, "GET", "/", "")
		if header.Get("Set-Cookie") == "" {
			t.Fatal("no cookie")
		}
		for range 4 {
			_, again, header := w.sendBy(client, "GET", "/", "")
			if again != first || header.Get("Set-Cookie") != "" {
				t.Errorf("the client was at %s, then at %s with cookie %q", first, again, header.Get("Set-Cookie"))
			}
		}
	}
}
