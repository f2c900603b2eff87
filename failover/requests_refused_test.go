package failover

import (
	"bufio"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/eastway/eastway/failover/http/h1/h1test"
)

// TestValidBeforeRefused: a request is answered although the next one, which the client has sent with it, breaks off its body.
func TestValidBeforeRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, overHTTP, webs(here, says("ok")))
	for range 20 {
		conn := w.dial()
		_, _ = io.WriteString(conn, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"+
			"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n")
		all, _ := io.ReadAll(conn)
		_ = conn.Close()
		if answers := strings.Count(string(all), "HTTP/1.1 200 OK"); answers != 1 {
			t.Fatalf("%d answers: %q", answers, all)
		}
	}
	w.nothingInFlight()
}

var looksLikeHTTP = regexp.MustCompile(`^[A-Z_-]+ [/*hH]`)

// TestNothingIsSmuggled: no endpoint sees a request that is hidden in another one, nor anything of one that is refused; the client
// gets an answer, and the refusal is counted.
func TestNothingIsSmuggled(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]int{}
	w := newWorld(t, overHTTP, webs(here, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.URL.Path]++
		mu.Unlock()
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "ok")
	}))
	refused := 0
	for _, c := range h1test.Cases() {
		conn := w.dial()
		_, _ = io.WriteString(conn, c.Input)
		_ = conn.CloseWrite()
		r := bufio.NewReader(conn)
		var statuses []int
		for {
			resp, err := http.ReadResponse(r, nil) //nolint:bodyclose // the connection is closed
			if err != nil {
				break
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			statuses = append(statuses, resp.StatusCode)
		}
		_ = conn.Close()
		if !looksLikeHTTP.MatchString(c.Input) || strings.HasPrefix(c.Input, "PRI ") {
			continue // it is carried as TCP, or is HTTP/2
		}
		if c.Status != 0 {
			refused++
			if len(statuses) == 0 || statuses[len(statuses)-1] != c.Status {
				t.Errorf("%s, %s: answers %v, want %d at last", c.Class, c.Name, statuses, c.Status)
			}
			w.eventually(c.Class+", "+c.Name+" counted", func() bool {
				return testutil.ToFloat64(w.proxy.metrics.refused.WithLabelValues("shop/echo", c.Reason)) > 0
			})
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if n := seen[h1test.Smuggled]; n > 0 {
		t.Errorf("%d requests were smuggled", n)
	}
	if refused < 50 || seen["/a"] == 0 {
		t.Errorf("%d cases were refused, %d requests served", refused, seen["/a"])
	}
	problems := w.proxy.Problems()
	for _, what := range []string{"HTTP requests refused: they are not well-formed (", "connections to an HTTP port are not HTTP"} {
		if !slices.ContainsFunc(problems, func(p string) bool { return strings.HasPrefix(p, "service shop/echo: "+what) }) {
			t.Errorf("status has %q", problems)
		}
	}
	if n := w.log.FilterMessageSnippet("HTTP requests refused").Len(); n != 1 {
		t.Errorf("%d warnings", n)
	}
}

// TestTooManyFieldsOfHTTP2: it is refused and counted as with HTTP/1.1.
func TestTooManyFieldsOfHTTP2(t *testing.T) {
	t.Parallel()
	w := newWorld(t, overHTTP, webs(here, says("ok")))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url("/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header["X-Many"] = slices.Repeat([]string{"x"}, 101)
	resp, err := w.h2client().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Error(resp.Status)
	}
	if n := testutil.ToFloat64(w.proxy.metrics.refused.WithLabelValues("shop/echo", "too-many-fields")); n != 1 {
		t.Errorf("%v counted", n)
	}
}

// TestRetriesOverBudget: of eight requests at a time that need a second try, three get it; the others get the first answer.
func TestRetriesOverBudget(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	busy := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Eastway-Attempt") == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		<-goOn
	}
	w := newWorld(t, overHTTP, webs(here, busy), webs(beside, busy))
	var statuses sync.Map
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			code, _, _ := w.send("GET", "/", "")
			statuses.Store(i, code)
		})
	}
	over := w.proxy.metrics.overBudget.WithLabelValues("shop/echo")
	w.eventually("over the budget", func() bool { return testutil.ToFloat64(over) == 5 })
	close(goOn)
	wg.Wait()
	answered := map[any]int{}
	statuses.Range(func(_, code any) bool {
		answered[code]++
		return true
	})
	if answered[200] != 3 || answered[503] != 5 {
		t.Errorf("%v", answered)
	}
	if n := w.log.FilterMessageSnippet("HTTP requests not repeated").Len(); n != 1 {
		t.Errorf("%d warnings", n)
	}
}
