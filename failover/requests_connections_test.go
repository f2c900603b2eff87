package failover

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/originate/origintest"
)

var echoKey = balance.Key{Service: echoName, Port: servicePort}

// few is a policy with so many connections, and requests that have none.
func few(connections, pending int32) *v1alpha1.TrafficPolicySpec {
	return &v1alpha1.TrafficPolicySpec{ConnectionPool: &v1alpha1.ConnectionPool{
		TCP:  &v1alpha1.TCPSettings{MaxConnections: &connections},
		HTTP: &v1alpha1.HTTPSettings{HTTP1MaxPendingRequests: &pending},
	}}
}

// most remembers the largest number of connections that endpoints had at a time.
type most struct{ now, most atomic.Int32 }

func (m *most) state(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		n := m.now.Add(1)
		for old := m.most.Load(); n > old && !m.most.CompareAndSwap(old, n); old = m.most.Load() {
		}
	case http.StateClosed, http.StateHijacked:
		m.now.Add(-1)
	}
}

// endpointsOf adds endpoints of HTTP that report their connections and take so many requests on each of HTTP/2; over TLS if it is given.
func (m *most) endpointsOf(n, streams int, c *tls.Config, h http.HandlerFunc) setup {
	return func(w *world, _ *Config) {
		for range n {
			s := &http.Server{
				Handler: h, ConnState: m.state, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: streams}, TLSConfig: c.Clone(),
				ErrorLog: zap.NewStdLog(zap.NewNop()),
			}
			w.service.Endpoints[servicePort] = append(w.service.Endpoints[servicePort], endpoint(webOf(w.t, s), here))
		}
	}
}

// overTLS are each test's worlds: without TLS to the endpoints, and with it.
func overTLS(t *testing.T, run func(t *testing.T, c *tls.Config, options ...setup)) {
	t.Helper()
	t.Parallel()
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		run(t, nil)
	})
	t.Run("TLS", func(t *testing.T) {
		t.Parallel()
		ca := origintest.New(t)
		run(t, presents(ca.Issue(t, time.Now().Add(time.Hour), mydb)), outside(ca))
	})
}

// TestRequestsShareConnections: many requests at a time are served over few connections, each endpoint has one more at most, and no request
// waits for ever.
func TestRequestsShareConnections(t *testing.T) {
	overTLS(t, shareConnections)
}

func shareConnections(t *testing.T, secure *tls.Config, options ...setup) {
	t.Helper()
	for _, c := range []struct {
		version                   string
		limit                     int32
		endpoints, callers, after int
	}{
		{"1.1", 1, 1, 8, 8},
		{"1.1", 3, 2, 8, 8},
		{"2", 1, 1, 12, 6},
		{"2", 2, 3, 16, 6},
		{"2", 0, 2, 24, 3}, // no limit
	} {
		t.Run(fmt.Sprintf("HTTP/%s, %d connections, %d endpoints", c.version, c.limit, c.endpoints), func(t *testing.T) {
			t.Parallel()
			var seen most
			w := newWorld(t, slices.Concat(options, []setup{
				overHTTP, policy(few(c.limit, 0)), seen.endpointsOf(c.endpoints, 2, secure, says("ok")),
			})...)
			tr := w.transports()[c.version]
			var wg sync.WaitGroup
			for range c.callers {
				wg.Go(func() {
					for range c.after {
						if got, _ := w.over(tr, "POST", "/", strings.NewReader("order")); got != "200 ok" {
							t.Error(got)
						}
					}
				})
			}
			wg.Wait()
			extra := int32(c.endpoints)
			if c.endpoints == 1 {
				extra = 0
			}
			// An endpoint may see a new connection before it sees the end of the one that it replaces.
			if n := seen.most.Load(); c.endpoints == 1 && c.version == "1.1" && n > c.limit || c.limit > 0 && n > 2*(c.limit+extra) {
				t.Errorf("%d connections at a time", n)
			}
			w.nothingInFlight()
			if p := w.proxy.Problems(); len(p) > 0 {
				t.Errorf("%q", p)
			}
		})
	}
}

// waiting is a world whose one connection is in use until release is called.
func waiting(t *testing.T, p *v1alpha1.TrafficPolicySpec, secure *tls.Config, options ...setup) (w *world, order *[]string, release func()) {
	t.Helper()
	var mu sync.Mutex
	order = new([]string)
	goOn := make(chan struct{})
	begun := make(chan struct{}, 100)
	var all most
	options = append(options, overHTTP, policy(p), all.endpointsOf(1, 9, secure, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		*order = append(*order, r.URL.Path)
		mu.Unlock()
		begun <- struct{}{}
		<-goOn
	}))
	w = newWorld(t, options...)
	done := make(chan struct{})
	go func() { defer close(done); w.send("POST", "/first", "") }()
	<-begun
	return w, order, func() { close(goOn); <-done }
}

// pendingNow is how many requests have no connection.
func (w *world) pendingNow() int { return w.proxy.slots.Pending(echoKey) }

// TestTooManyPendingRequests: what is beyond the limit is refused at once, is no failure of the endpoint, and those that wait are served in
// their order.
func TestTooManyPendingRequests(t *testing.T) {
	overTLS(t, tooManyPending)
}

func tooManyPending(t *testing.T, secure *tls.Config, options ...setup) {
	t.Helper()
	w, order, release := waiting(t, few(1, 2), secure, options...)
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			if code, _, _ := w.send("POST", fmt.Sprint("/waits-", i), ""); code != http.StatusOK {
				t.Errorf("a request that waits: %d", code)
			}
		})
		w.eventually("waits", func() bool { return w.pendingNow() == i+1 })
	}
	for range ejectAfter + 2 {
		if code, answer, h := w.send("POST", "/beyond", ""); code != 503 || answer != "" || h.Get("X-Eastway-Reason") != "overflow" {
			t.Errorf("beyond the limit: %d %q %v", code, answer, h)
		}
	}
	if line := w.line(); line["result"] != access.Limit || line["response_flags"] != "UO" || line["endpoint"] != "" {
		t.Errorf("%v", line)
	}
	release()
	wg.Wait()
	if got := strings.Join(*order, " "); got != "/first /waits-0 /waits-1" {
		t.Errorf("served in the order %s", got)
	}
	if got := testutil.ToFloat64(w.proxy.metrics.limits.WithLabelValues("shop/echo", "pending")); got != ejectAfter+2 {
		t.Errorf("%v counted", got)
	}
	if p := w.proxy.Problems(); len(p) != 1 || w.log.FilterMessageSnippet("as the TrafficPolicy allows").Len() != 1 ||
		w.log.FilterMessage("endpoint ejected").Len() > 0 {
		t.Errorf("%q, %v", p, w.log.All())
	}
	w.nothingInFlight()
}

// TestWaitEnds: a request that waits ends with its client or its time, without a trace.
func TestWaitEnds(t *testing.T) {
	t.Parallel()
	p := few(1, 9)
	w, order, release := waiting(t, p, nil)
	ctx, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url("/leaves"), nil)
		if err != nil {
			t.Error(err)
			return
		}
		if resp, err := w.client().Do(req); err == nil {
			_ = resp.Body.Close()
			t.Errorf("answered %d", resp.StatusCode)
		}
	})
	w.eventually("waits", func() bool { return w.pendingNow() == 1 })
	leave()
	wg.Wait()
	w.eventually("gone", func() bool { return w.pendingNow() == 0 })
	timed := *p
	timed.Timeout = &metav1.Duration{Duration: 50 * time.Millisecond}
	w.service.Policy = &timed
	s := w.snapshot()
	s.Revision = w.proxy.Revision() + 1
	w.catalog.set(s)
	w.eventually("followed", func() bool { return w.proxy.Revision() == s.Revision })
	if code, _, h := w.send("POST", "/too-late", ""); code != http.StatusGatewayTimeout || h.Get("X-Eastway-Reason") != "timeout" {
		t.Errorf("%d %v", code, h)
	}
	release()
	if code, _, _ := w.send("POST", "/last", ""); code != http.StatusOK {
		t.Errorf("after all: %d", code)
	}
	if got := strings.Join(*order, " "); got != "/first /last" {
		t.Errorf("the endpoint got %s", got)
	}
	w.nothingInFlight()
}

// TestIdleConnectionMakesRoom: the limit is met by an idle connection of the other protocol, which is closed.
func TestIdleConnectionMakesRoom(t *testing.T) {
	overTLS(t, makesRoom)
}

func makesRoom(t *testing.T, secure *tls.Config, options ...setup) {
	t.Helper()
	var seen most
	w := newWorld(t, append(options, overHTTP, policy(few(1, 0)), seen.endpointsOf(1, 9, secure, says("ok")))...)
	versions := w.transports()
	for _, version := range []string{"1.1", "2", "2", "1.1"} {
		if got, _ := w.over(versions[version], "GET", "/", nil); got != "200 ok" {
			t.Errorf("HTTP/%s: %s", version, got)
		}
	}
	w.eventually("one connection", func() bool { return seen.now.Load() == 1 })
}

// TestUpgradeHasSlot: a connection that was switched to another protocol counts until it ends.
func TestUpgradeHasSlot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, overHTTP, policy(few(1, 1)), webs(here, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			return
		}
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(c, buf)
	}))
	c := w.dial()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, len("HTTP/1.1 101"))); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if code, _, _ := w.send("GET", "/", ""); code != http.StatusOK {
			t.Errorf("%d", code)
		}
	})
	w.eventually("waits", func() bool { return w.pendingNow() == 1 })
	_ = c.CloseWrite()
	wg.Wait()
}

// TestConnectionsUnderLoad: callers of both protocols, of which some leave, endpoints that close connections and one that does not accept
// any, and changes of the limits: every request is answered, and afterwards nothing is left.
func TestConnectionsUnderLoad(t *testing.T) {
	overTLS(t, connectionsUnderLoad)
}

func connectionsUnderLoad(t *testing.T, secure *tls.Config, options ...setup) {
	t.Helper()
	var seen most
	moody := func(w http.ResponseWriter, r *http.Request) {
		if rand.IntN(4) == 0 {
			w.Header().Set("Connection", "close")
		}
		_, _ = io.Copy(w, r.Body)
	}
	w := newWorld(t, append(options, overHTTP, policy(few(2, 0)), seen.endpointsOf(3, 2, secure, moody), func(w *world, _ *Config) {
		w.service.Endpoints[servicePort] = append(w.service.Endpoints[servicePort], endpoint(dead(w.t), here))
	})...)
	stop := make(chan struct{})
	var edits, wg sync.WaitGroup
	edits.Go(func() {
		for i := int32(0); ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			w.service.Policy = few(1+i%4, 0)
			s := w.snapshot()
			s.Revision = uint64(i) + 1
			w.catalog.set(s)
		}
	})
	versions := w.transports()
	for i := range 12 {
		tr := versions[[]string{"1.1", "2"}[i%2]]
		wg.Go(func() {
			for range 20 {
				if rand.IntN(5) == 0 {
					w.abandon(tr)
				} else if got, _ := w.over(tr, "POST", "/", strings.NewReader("order")); got != "200 order" {
					t.Error(got)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	edits.Wait()
	w.nothingInFlight()
	w.eventually("nothing waits", func() bool { return w.pendingNow() == 0 })
	w.eventually("the endpoints' connections are counted", func() bool {
		return int32(w.proxy.slots.Connections(echoKey)) == seen.now.Load()
	})
}

// abandon sends a request and leaves.
func (w *world) abandon(tr http.RoundTripper) {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Duration(rand.IntN(3000))*time.Microsecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url("/"), strings.NewReader("order"))
	if err != nil {
		w.t.Error(err)
		return
	}
	if resp, err := tr.RoundTrip(req); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}
