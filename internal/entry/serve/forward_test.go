package serve

import (
	"bufio"
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

// Requests that are not sent again use no connection that was idle for long.
func TestTransports(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, nil)
	all := w.transports
	for _, test := range []struct {
		method   string
		body     io.Reader
		protocol route.Protocol
		want     *http.Transport
	}{
		{http.MethodGet, nil, route.HTTP1, all.http1},
		{http.MethodGet, strings.NewReader("a"), route.HTTP1, all.brief},
		{http.MethodPost, nil, route.HTTP1, all.brief},
		{http.MethodPut, strings.NewReader("a"), route.HTTP1, all.brief},
		{http.MethodPost, nil, route.H2C, all.h2c},
	} {
		if got := all.to(&route.Backend{Protocol: test.protocol}, nil, request(t, test.method, "http://a/", test.body)); got != test.want {
			t.Errorf("%s: idle for %v, want %v", test.method, got.IdleConnTimeout, test.want.IdleConnTimeout)
		}
	}
	if all.brief.IdleConnTimeout != briefIdle || all.http1.IdleConnTimeout != backendIdle {
		t.Error(all.brief.IdleConnTimeout, all.http1.IdleConnTimeout)
	}
}

// A client of HTTP/1.0 gets no interim answer, which it would take for the final one.
func TestNoInterimAnswerToHTTP10(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(rw, "ok")
	})
	w.apply(w.toBackend(route.HTTP1), &route.Listener{})
	for version, interim := range map[string]bool{"1.0": false, "1.1": true} {
		got := raw(t, w.address(), "GET / HTTP/"+version+"\r\nHost: a.example\r\nConnection: close\r\n\r\n")
		if !strings.HasSuffix(got, "ok") || strings.Contains(got, " 103 ") != interim {
			t.Errorf("HTTP/%s: %q", version, got)
		}
	}
}

// A refusal does not wait for the body: net/http's server reads one before the answer, unless the connection closes.
func TestRefusalLeavesBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, nil)
	w.apply(func(*http.Request) route.Decision {
		return route.Decision{Kind: route.Refuse, Status: http.StatusNotFound, Reason: route.ReasonNoRoute}
	}, &route.Listener{})
	c := dialTo(t, w.address())
	defer c.Close()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100\r\n\r\na") // the rest never comes
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound || !resp.Close {
		t.Errorf("%s, closes: %v", resp.Status, resp.Close)
	}
}
