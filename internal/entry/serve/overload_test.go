package serve

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/entry/route"
)

// Connections that lose their place while they get it are forgotten like others.
func TestEvictionDuringAdmission(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := newWorld(t, Config{MaxConns: 64}, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	ports := []uint16{w.port, freePort(t)}
	var table fake
	for _, p := range ports {
		table.ports = append(table.ports, &route.Port{Number: p, Listeners: []*route.Listener{{}}})
	}
	table.match = w.toBackend(route.HTTP1)
	if err := w.Apply(t.Context(), &table); err != nil {
		t.Fatal(err)
	}
	busy := minSourceConns - 1 // one place is left, which two ports give away
	for range busy {
		c := dialTo(t, w.address())
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	eventually(t, "busy", func() bool {
		w.slotsMu.Lock()
		defer w.slotsMu.Unlock()
		return w.slots.under == busy
	})
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			var d net.Dialer
			for range 250 {
				c, err := d.DialContext(t.Context(), "tcp", fmt.Sprintf("%s:%d", w.host, ports[i%2]))
				if err == nil {
					_ = c.Close()
				}
			}
		})
	}
	clients.Wait()
	eventually(t, "what is left is what is busy", func() bool {
		fronts := 0
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, p := range w.ports {
			p.mu.Lock()
			fronts += len(p.fronts)
			p.mu.Unlock()
		}
		return fronts == busy && w.held() == busy
	})
}

func dialTo(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	tcp, _ := c.(*net.TCPConn)
	return tcp
}

// Requests under way are bounded, whatever connections they come on.
func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		trusted []netip.Prefix
		most    int
		why     refusal
	}{
		{nil, minSourceConns, sourceRequestsFull},
		{[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 64, requestsFull},
	} {
		t.Run(string(c.why), func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			w := newWorld(t, Config{MaxConns: 64, Trusted: c.trusted}, func(http.ResponseWriter, *http.Request) { <-release })
			w.apply(w.toBackend(route.HTTP1), &route.Listener{})
			h2 := client(t, h2c, nil)
			var under sync.WaitGroup
			for range c.most {
				under.Go(func() { do(t, h2, request(t, http.MethodGet, "http://"+w.address()+"/", nil)) })
			}
			count := func() int {
				w.slotsMu.Lock()
				defer w.slotsMu.Unlock()
				return w.slots.under
			}
			eventually(t, "they are under way", func() bool { return count() == c.most })
			a, _ := do(t, h2, request(t, http.MethodGet, "http://"+w.address()+"/", nil))
			if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") != "1" || w.refusedCount(c.why) != 1 {
				t.Errorf("one more: %d %v, counted %d", a.StatusCode, a.Header, w.refusedCount(c.why))
			}
			if p := strings.Join(w.Problems(), ""); !strings.Contains(p, string(c.why)) {
				t.Errorf("problems: %s", p)
			}
			close(release)
			under.Wait()
			eventually(t, "they have ended", func() bool { return count() == 0 })
			if a, _ := do(t, h2, request(t, http.MethodGet, "http://"+w.address()+"/", nil)); a.StatusCode != http.StatusOK {
				t.Errorf("afterwards: %d", a.StatusCode)
			}
		})
	}
}

// Connections and requests both need descriptors.
func TestAffordable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		most  int
		limit uint64
		want  int
	}{{100, 0, 100}, {16_384, 1024, 384}, {16_384, 1 << 20, 16_384}, {16_384, 1 << 63, 16_384}, {5, 1, 1}} {
		if got := affordable(c.most, c.limit); got != c.want {
			t.Errorf("%d of %d descriptors: %d, want %d", c.most, c.limit, got, c.want)
		}
	}
}

// A body is not kept for a copy that has no place.
func TestMirrorTakesPlaceFirst(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	w := newWorld(t, Config{}, func(http.ResponseWriter, *http.Request) { close(begun) })
	match := w.toBackend(route.HTTP1)
	w.apply(func(r *http.Request) route.Decision {
		d := match(r)
		d.Mirrors = []*route.Backend{d.Backend}
		return d
	}, &route.Listener{})
	if w.places(maxMirrors+1) != maxMirrors {
		t.Fatal("places")
	}
	c := dialTo(t, w.address())
	fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\n")
	<-begun // without the body
	fmt.Fprint(c, "abc")
	if line, err := bufio.NewReader(c).ReadString('\n'); !strings.Contains(line, "200") {
		t.Errorf("%q %v", line, err)
	}
}

// A route's timeout counts while a body is read for a mirror, whatever the client says that it is.
func TestTimeoutEndsBody(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"text/plain", "application/grpc"} {
		w := newWorld(t, Config{}, func(http.ResponseWriter, *http.Request) {})
		match := w.toBackend(route.H2C)
		w.apply(func(r *http.Request) route.Decision {
			d := match(r)
			d.Mirrors, d.Timeouts.Request = []*route.Backend{d.Backend}, time.Millisecond
			return d
		}, &route.Listener{})
		for name, c := range map[string]*http.Client{"HTTP/1.1": client(t, http1, nil), "HTTP/2": client(t, h2c, nil)} {
			body, more := io.Pipe()
			r := request(t, http.MethodPost, "http://"+w.address()+"/", body)
			r.ContentLength = 100
			r.Header.Set("Content-Type", kind)
			var sending sync.WaitGroup
			sending.Go(func() { _, _ = more.Write([]byte("x")) })
			a, _ := do(t, c, r)
			timeout := a.StatusCode == http.StatusGatewayTimeout
			if kind == "application/grpc" && name == "HTTP/2" {
				timeout = a.StatusCode == http.StatusOK && a.Header.Get("Grpc-Status") == "4"
			}
			if !timeout {
				t.Errorf("%s over %s: %d", kind, name, a.StatusCode)
			}
			_ = more.Close()
			_ = body.Close()
			sending.Wait()
		}
	}
}

// A client whose first header does not come in time is counted.
func TestSlowHeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, nil)
	w.apply(w.toBackend(route.HTTP1), &route.Listener{})
	_, _ = io.WriteString(dialTo(t, w.address()), "GET / HTTP/1.1\r\nHost: a.exam")
	_, _ = io.WriteString(dialTo(t, w.address()), "") // one that sends nothing is none
	eventually(t, "a slow header is counted", func() bool {
		w.mu.Lock()
		p := w.ports[w.port]
		w.mu.Unlock()
		p.mu.Lock()
		defer p.mu.Unlock()
		for f := range p.fronts {
			_ = f.raw.SetReadDeadline(time.Unix(1, 0)) // as net/http does after headerTimeout
		}
		return w.refusedCount(slowHeader) == 1
	})
}
