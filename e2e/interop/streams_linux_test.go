package interop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/internal/notify"
)

// testH2load: many streams on a few connections, and many connections of HTTP/1.1 that are reused; none fails.
func testH2load(t *testing.T, s service) {
	h2load := program(t, "h2load", "nghttp2-client")
	for _, c := range []struct {
		name     string
		requests int
		args     []string
	}{
		{"HTTP/2", 20_000, []string{"-c", "10", "-m", "100", "http://" + s.near + "/file/1000"}},
		{"HTTP/1.1", 5_000, []string{"-c", "50", "--h1", "http://" + s.near + "/file/1000"}},
		{"POST", 2_000, []string{"-c", "10", "-m", "100", "--data", "/etc/services", "http://" + s.near + "/"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := output(t, "", h2load, append([]string{"-n", strconv.Itoa(c.requests)}, c.args...)...)
			clean := fmt.Sprintf(`requests: %[1]d total, %[1]d started, %[1]d done, %[1]d succeeded, 0 failed, 0 errored, 0 timeout
status codes: %[1]d 2xx, 0 3xx, 0 4xx, 0 5xx`, c.requests)
			if !strings.Contains(out, clean) {
				t.Errorf("%s", out)
			}
			_, took, _ := strings.Cut(out, "finished in ")
			took, _, _ = strings.Cut(took, "\n")
			t.Log(took)
		})
	}
}

// gathering answers no request before as many as it waits for are there.
type gathering struct {
	address string

	mu    sync.Mutex
	here  int
	await int
	all   chan struct{} // closed when they are
	more  notify.Broadcast
}

func newGathering(t *testing.T) *gathering {
	g := &gathering{}
	g.address = serve(t, g)
	return g
}

// expect n requests.
func (g *gathering) expect(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.here, g.await, g.all = 0, n, make(chan struct{})
}

// ServeHTTP implements http.Handler.
func (g *gathering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	if g.here++; g.here == g.await {
		close(g.all)
	}
	all := g.all
	g.mu.Unlock()
	g.more.Notify()
	select {
	case <-all:
		w.WriteHeader(http.StatusNoContent)
	case <-r.Context().Done():
	}
}

// gathered returns when n requests are there, or ctx ends.
func (g *gathering) gathered(ctx context.Context, n int) {
	for {
		more := g.more.Changed()
		g.mu.Lock()
		here := g.here
		g.mu.Unlock()
		if here >= n {
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}

// together is how many requests begin at once: net/http would open a connection for each of them before the first is there.
const together = 50

// testStreams: one client has that many requests under way at a time. Of a peer, one calling address gets 9/16 of --max-streams-per-peer for a
// service: 2,109 where a process may open 20,000 files.
func testStreams(t *testing.T, g *gathering, s service) {
	for name, c := range map[string]struct {
		at      string
		streams int
	}{
		"at one proxy":        {s.far, 10_000},
		"through two proxies": {s.near, 2000},
	} {
		t.Run(name, func(t *testing.T) {
			g.expect(c.streams)
			transport := &http.Transport{Protocols: new(http.Protocols)}
			transport.Protocols.SetUnencryptedHTTP2(true)
			defer transport.CloseIdleConnections()
			calls, ctx := errgroup.WithContext(t.Context()) // when one fails the others would wait
			for i := range c.streams {
				g.gathered(ctx, i+1-together)
				calls.Go(func() error {
					req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.at+"/", http.NoBody)
					if err != nil {
						return err
					}
					resp, err := transport.RoundTrip(req)
					if err != nil {
						return err
					}
					err = resp.Body.Close()
					if resp.StatusCode != http.StatusNoContent {
						err = errors.Join(err, fmt.Errorf("%s, %s", resp.Status, resp.Header))
					}
					return err
				})
			}
			must(t, calls.Wait())
		})
	}
}
