package failover

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover/access"
)

func timeout(d time.Duration) setup {
	return policy(&v1alpha1.TrafficPolicySpec{Timeout: &metav1.Duration{Duration: d}})
}

// perTryTimeout is long enough for an endpoint on a busy machine.
func perTryTimeout(w *world, c *Config) {
	retries(v1alpha1.Retries{PerTryTimeout: &metav1.Duration{Duration: time.Second}})(w, c)
}

// hangs reads the request and does not answer before its client leaves.
func hangs(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// hangsAt hangs for one path, and answers others.
func hangsAt(path string, otherwise http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == path {
			hangs(w, r)
			return
		}
		otherwise(w, r)
	}
}

// TestPerTryTimeout: the nearer endpoint accepts and never answers.
func TestPerTryTimeout(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.1", "2"} {
		for method, c := range map[string]struct {
			want string
			far  int32
		}{
			"GET": {"200 far", 1}, "PUT": {"200 far", 1}, "POST": {"504 eastway: timeout\n", 0},
		} {
			t.Run(method+" HTTP/"+version, func(t *testing.T) {
				t.Parallel()
				var far atomic.Int32
				w := newWorld(t, overHTTP, perTryTimeout, webs(here, hangs), webs(beside, counting(&far, says("far"))))
				if got, _ := w.over(w.transports()[version], method, "/", strings.NewReader("order")); got != c.want || far.Load() != c.far {
					t.Errorf("%q, and %d requests at the other endpoint", got, far.Load())
				}
				if got := fmt.Sprint(results(w.line())); !strings.Contains(got, " timeout]") && !strings.Contains(got, " timeout ") {
					t.Errorf("attempts: %s", got)
				}
				w.nothingInFlight()
			})
		}
	}
}

// TestPerTryTimeoutOnKeptConnection: it is no sign of a connection that was unused for too long.
func TestPerTryTimeoutOnKeptConnection(t *testing.T) {
	t.Parallel()
	var near atomic.Int32
	w := newWorld(t, overHTTP, perTryTimeout, webs(here, counting(&near, hangsAt("/hang", says("near")))), webs(beside, says("far")))
	client := w.steady()
	for _, c := range [][2]string{{"/", "near"}, {"/hang", "far"}} {
		if code, answer, _ := w.sendBy(client, "GET", c[0], ""); code != 200 || answer != c[1] {
			t.Errorf("%s: %d %q", c[0], code, answer)
		}
	}
	if n := near.Load(); n != 2 {
		t.Errorf("the nearer endpoint got %d requests", n)
	}
}

// TestEjectedForSilence: missing answers in a row eject an endpoint.
func TestEjectedForSilence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, overHTTP, timeout(300*time.Millisecond), webs(here, hangs), webs(beside, says("far")))
	for range ejectAfter {
		if code, answer, header := w.send("GET", "/", ""); code != 504 || header.Get("X-Eastway-Reason") != "timeout" {
			t.Fatalf("%d %q", code, answer)
		}
	}
	ejected := w.log.FilterMessage("endpoint ejected").All()
	if len(ejected) != 1 || ejected[0].ContextMap()["kind"] != "answer_timeout" {
		t.Errorf("%v", ejected)
	}
}

// TestTimeout is that of the whole request, of which no other try follows.
func TestTimeout(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.1", "2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, overHTTP, timeout(500*time.Millisecond), webs(here, hangs), webs(beside, hangs))
			if got, _ := w.over(w.transports()[version], "GET", "/", nil); got != "504 eastway: timeout\n" {
				t.Error(got)
			}
			if line := w.line(); line["result"] != access.Timeout || line["response_code"] != int64(504) || len(results(line)) != 1 {
				t.Errorf("%v", line)
			}
			w.nothingInFlight()
		})
	}
}

// TestTimeoutCutsAnswer: an answer that does not end in time ends visibly.
func TestTimeoutCutsAnswer(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.1", "2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			half := func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "half")
				_ = http.NewResponseController(w).Flush()
				hangs(w, r)
			}
			w := newWorld(t, overHTTP, timeout(time.Second), webs(here, half), webs(beside, half))
			for range ejectAfter + 1 {
				if got, _ := w.over(w.transports()[version], "GET", "/", nil); !strings.HasPrefix(got, "200 half ") {
					t.Errorf("a clean end: %s", got)
				}
			}
			if line := w.line(); line["result"] != access.Timeout {
				t.Errorf("%v", line)
			}
			if n := w.log.FilterMessage("endpoint ejected").Len(); n > 0 {
				t.Error("it was ejected for an answer that may have been slow because of its client")
			}
			w.nothingInFlight()
		})
	}
}

// TestTimeoutBehindHead: an answer whose body does not begin in time counts as none. An endpoint is to blame for that, but not where the
// time is its caller's own.
func TestTimeoutBehindHead(t *testing.T) {
	t.Parallel()
	headAlone := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "8")
		_ = http.NewResponseController(w).Flush()
		hangs(w, r)
	}
	for name, c := range map[string]struct {
		header http.Header
		policy time.Duration
		want   string
	}{
		"policy": {nil, 100 * time.Millisecond, "[answer_timeout]"},
		"caller": {http.Header{"Content-Type": {"application/grpc"}, "Grpc-Timeout": {"50m"}}, time.Hour, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, overHTTP, timeout(c.policy), webs(here, headAlone), webs(beside, says("far")))
			for range ejectAfter {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url("/"), http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				req.Header = c.header
				resp, err := w.client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if reason := resp.Header.Get("X-Eastway-Reason"); reason != "timeout" {
					t.Errorf("%s, %q", resp.Status, reason)
				}
				if got := fmt.Sprint(results(w.line())); c.header == nil && !strings.Contains(got, " timeout]") {
					t.Errorf("attempts: %s", got)
				}
			}
			kinds := []any{}
			for _, line := range w.log.FilterMessage("endpoint ejected").All() {
				kinds = append(kinds, line.ContextMap()["kind"])
			}
			if got := fmt.Sprint(kinds); got != c.want {
				t.Errorf("ejected for %s, want %s", got, c.want)
			}
			w.nothingInFlight()
		})
	}
}

// TestTimeoutIsNotTheClients: the time in which the client still sends does not count, nor that of a connection that was switched.
func TestTimeoutIsNotTheClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t, overHTTP, timeout(time.Second), webs(here, hangsAt("/hang", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			b, _ := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(w, "%d", len(b))
			return
		}
		c, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(c, buffered)
	})))
	upload, echo := w.dial(), w.dial()
	_, _ = io.WriteString(upload, "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 10\r\n\r\nhello")
	_, _ = io.WriteString(echo, "GET / HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	w.eventually("both there", func() bool { return w.proxy.Endpoints(echoName)[0].Active == 2 })
	for range 2 { // at least the timeout passes
		if code, answer, _ := w.send("POST", "/hang", ""); code != 504 {
			t.Errorf("%d %q", code, answer)
		}
	}
	_, _ = io.WriteString(upload, "world")
	_, _ = io.WriteString(echo, "hello")
	_ = echo.CloseWrite()
	for c, want := range map[net.Conn]int{upload: 200, echo: 101} {
		resp, err := http.ReadResponse(bufio.NewReader(c), nil) //nolint:bodyclose // the connection is closed
		if err != nil || resp.StatusCode != want {
			t.Errorf("%v, %v, want %d", resp, err, want)
		}
	}
}

// TestTimeoutOfGRPC: a caller of gRPC gets a status, also by its own deadline, for which no endpoint is ejected.
func TestTimeoutOfGRPC(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options []setup
		timeout string
		want    string
		ejected int
	}{
		"its own":            {[]setup{webs(here, hangs), webs(beside, hangs)}, "50m", "4 eastway: timeout", 0},
		"the policy's":       {[]setup{webs(here, hangs), webs(beside, hangs), timeout(300 * time.Millisecond)}, "1H", "4 eastway: timeout", 1},
		"no endpoint":        {[]setup{locals("DEAD", here)}, "", "14 eastway: no-endpoint", 0},
		"an unknown outcome": {[]setup{webs(here, resets)}, "", "14 eastway: unknown-outcome", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, append(c.options, overHTTP)...)
			h2 := http.RoundTripper(w.h2client())
			if name == "an unknown outcome" {
				h2 = w.client().Transport // resets is for HTTP/1.1
			}
			for range ejectAfter {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url("/"), strings.NewReader("message"))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", "application/grpc")
				if c.timeout != "" {
					req.Header.Set("Grpc-Timeout", c.timeout)
				}
				resp, err := h2.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				got := resp.Header.Get("Grpc-Status") + " " + resp.Header.Get("Grpc-Message")
				kind := resp.Header.Get("Content-Type")
				if err != nil || resp.StatusCode != http.StatusOK || len(b) > 0 || got != c.want || kind != "application/grpc" {
					t.Errorf("%d %v %q, %v, want %s", resp.StatusCode, resp.Header, b, err, c.want)
				}
			}
			w.eventually("logged", func() bool { return w.access.Len() == ejectAfter })
			if n := w.log.FilterMessage("endpoint ejected").Len(); n != c.ejected {
				t.Errorf("%d ejections, want %d", n, c.ejected)
			}
			if line := w.line(); line["response_code"] != int64(503) && line["response_code"] != int64(504) {
				t.Errorf("%v", line)
			}
			w.nothingInFlight()
		})
	}
}
