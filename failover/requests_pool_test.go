package failover

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover/access"
)

func httpPool(h v1alpha1.HTTPSettings) setup {
	return policy(&v1alpha1.TrafficPolicySpec{ConnectionPool: &v1alpha1.ConnectionPool{HTTP: &h}})
}

// TestTooManyRequests: what the policy does not allow costs the endpoint nothing, and is not its failure.
func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.1", "2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			goOn := make(chan struct{})
			w := newWorld(t, overHTTP, httpPool(v1alpha1.HTTPSettings{HTTP2MaxRequests: new(int32(2))}),
				webs(here, counting(&n, func(http.ResponseWriter, *http.Request) { <-goOn })), webs(beside, says("far")))
			tr := w.transports()[version]
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					if got, _ := w.over(tr, "GET", "/", nil); got != "200 " {
						t.Error(got)
					}
				})
			}
			w.eventually("two requests", func() bool { return n.Load() == 2 })
			for range ejectAfter + 3 {
				if got, _ := w.over(tr, "GET", "/", nil); got != "503 " {
					t.Errorf("beyond the limit: %s", got)
				}
			}
			if line := w.line(); line["result"] != access.Limit || line["response_code"] != int64(503) {
				t.Errorf("%v", line)
			}
			close(goOn)
			wg.Wait()
			w.eventually("logged", func() bool { return w.access.Len() == ejectAfter+5 })
			if got, _ := w.over(tr, "GET", "/", nil); got != "200 " {
				t.Errorf("within the limit again: %s", got)
			}
			if got := testutil.ToFloat64(w.proxy.metrics.limits.WithLabelValues("shop/echo", "requests")); got != ejectAfter+3 || n.Load() != 3 {
				t.Errorf("%v counted, the endpoint got %d requests", got, n.Load())
			}
			if w.log.FilterMessage("endpoint ejected").Len() > 0 || w.log.FilterMessageSnippet("as the TrafficPolicy allows").Len() != 1 {
				t.Errorf("%v", w.log.All())
			}
			w.nothingInFlight()
		})
	}
}

// TestOverflowReason: the caller learns why, of gRPC by a status.
func TestOverflowReason(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan struct{}), make(chan struct{})
	w := newWorld(t, overHTTP, httpPool(v1alpha1.HTTPSettings{HTTP2MaxRequests: new(int32(1))}),
		webs(here, func(http.ResponseWriter, *http.Request) { close(begun); <-goOn }))
	var wg sync.WaitGroup
	wg.Go(func() { w.send("GET", "/", "") })
	defer wg.Wait()
	defer close(goOn)
	<-begun
	for kind, want := range map[string]string{"text/plain": "503 overflow ", "application/grpc": "200 overflow 14"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url("/"), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		resp, err := w.client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("X-Eastway-Reason"), " ", resp.Header.Get("Grpc-Status")); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
}

// TestTooManyRetries: of eight requests at a time that need a second try, one gets it.
func TestTooManyRetries(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	busy := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Eastway-Attempt") == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		<-goOn
	}
	w := newWorld(t, overHTTP, httpPool(v1alpha1.HTTPSettings{MaxRetries: new(int32(1))}), webs(here, busy), webs(beside, busy))
	var served atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if code, _, _ := w.send("GET", "/", ""); code == http.StatusOK {
				served.Add(1)
			}
		})
	}
	limits := w.proxy.metrics.limits.WithLabelValues("shop/echo", "retries")
	w.eventually("seven without", func() bool { return testutil.ToFloat64(limits) == 7 })
	close(goOn)
	wg.Wait()
	if served.Load() != 1 {
		t.Errorf("%d requests were repeated", served.Load())
	}
}

// conns counts an endpoint's connections.
type conns struct{ all, open atomic.Int32 }

func (c *conns) state(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		c.all.Add(1)
		c.open.Add(1)
	case http.StateClosed:
		c.open.Add(-1)
	}
}

// TestRequestsPerConnection: each connection to the endpoint gets two, and is closed then.
func TestRequestsPerConnection(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.1", "2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			var seen conns
			w := newWorld(t, overHTTP, httpPool(v1alpha1.HTTPSettings{MaxRequestsPerConnection: new(int32(2))}),
				endpoints(endpoint(webWith(t, says("ok"), seen.state), here)))
			tr := map[string]http.RoundTripper{"1.1": w.steady().Transport, "2": w.h2client()}[version]
			for i := range 6 {
				if got, _ := w.over(tr, "GET", "/", nil); got != "200 ok" {
					t.Error(got)
				}
				w.eventually("logged", func() bool { return w.access.Len() == i+1 })
			}
			if n := seen.all.Load(); n != 3 {
				t.Errorf("%d connections for 6 requests", n)
			}
			w.eventually("closed", func() bool { return seen.open.Load() == 0 })
		})
	}
}

// TestIdleTimeout: a connection to the endpoint that is unused for so long is closed.
func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	var seen conns
	w := newWorld(t, overHTTP, httpPool(v1alpha1.HTTPSettings{IdleTimeout: &metav1.Duration{Duration: time.Second}}),
		endpoints(endpoint(webWith(t, says("ok"), seen.state), here)))
	if code, answer, _ := w.sendBy(w.steady(), "GET", "/", ""); code != 200 || answer != "ok" {
		t.Errorf("%d %q", code, answer)
	}
	w.eventually("closed", func() bool { return seen.open.Load() == 0 })
}
