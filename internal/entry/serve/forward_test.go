package serve

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/entry/route"
)

// A timeout that ends an answer under way is reported as that, once, and net/http's line about it is for debugging.
func TestTimeoutAfterHead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(rw, "x")
		_ = http.NewResponseController(rw).Flush()
		<-r.Context().Done()
	})
	match := w.toBackend(route.HTTP1)
	w.apply(func(*http.Request) route.Decision {
		d := match(nil)
		d.Timeouts.Request = 200 * time.Millisecond
		return d
	}, &route.Listener{})
	resp, err := client(t, http1, nil).Do(request(t, http.MethodGet, "http://"+w.address()+"/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the answer seems to be whole")
	}
	eventually(t, "a line of the access log", func() bool { return w.access.String() != "" })
	if w.refusedCount(timedOut) != 1 || w.refusedCount(backendFailed) != 0 || !strings.Contains(w.access.String(), `"timeout"`) {
		t.Errorf("timeouts %d, failed %d, %s", w.refusedCount(timedOut), w.refusedCount(backendFailed), w.access)
	}
	for line := range strings.Lines(w.log.String()) {
		if strings.Contains(line, "net/http") && !strings.Contains(line, `"level":"debug"`) {
			t.Error(line)
		}
	}
}

// A panic of this process is an error, what clients and backends do is not.
func TestErrorLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, nil)
	w.proxy.ErrorLog.Print("http: TLS handshake error")
	w.proxy.ErrorLog.Print("http: panic serving 192.0.2.1:1: a bug")
	if got := w.log.String(); strings.Count(got, `"level":"debug"`) != 1 || strings.Count(got, `"level":"error"`) != 1 {
		t.Error(got)
	}
}

// Rate limits match the path that routes match.
func TestRateLimitSeesPathOfRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, func(http.ResponseWriter, *http.Request) {})
	match := w.toBackend(route.HTTP1)
	w.apply(func(*http.Request) route.Decision {
		d := match(nil)
		d.Seen = "/login"
		d.Limits = []*route.Limit{{Key: "shop/cart", Rate: &v1alpha1.RateLimit{Rules: []v1alpha1.RateLimitRule{
			{Quota: 1, FillInterval: metav1.Duration{Duration: time.Hour}, Match: v1alpha1.RateLimitMatch{PathPrefixes: []string{"/login"}}},
		}}}}
		return d
	}, &route.Listener{})
	c := client(t, http1, nil)
	for _, want := range []int{200, 429} {
		if resp, _ := do(t, c, request(t, http.MethodGet, "http://"+w.address()+"//login", nil)); resp.StatusCode != want {
			t.Errorf("%s, want %d", resp.Status, want)
		}
	}
}
