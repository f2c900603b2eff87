package failover_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/status"
)

// few is a policy with so many connections, and requests that have none.
func few(connections, pending int32) *v1alpha1.TrafficPolicySpec {
	return &v1alpha1.TrafficPolicySpec{ConnectionPool: &v1alpha1.ConnectionPool{
		TCP:  &v1alpha1.TCPSettings{MaxConnections: &connections},
		HTTP: &v1alpha1.HTTPSettings{HTTP1MaxPendingRequests: &pending},
	}}
}

// TestConnectionsOfPeer: b's policy counts its own connections. What waits there is served there, and what is beyond its limits goes to
// another cluster, is executed once, and ejects nothing.
func TestConnectionsOfPeer(t *testing.T) {
	t.Parallel()
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		goOn := make(chan struct{})
		b, c := newPod(t, g, near, func(w http.ResponseWriter, _ *http.Request) {
			<-goOn
			_, _ = w.Write([]byte("b"))
		}), newPod(t, g, abroad, says("c"))
		p := newPath(t, spec{on: g, transport: over, b: pods(b), c: pods(c), http: true, peerPolicy: few(1, 1)})
		client, counted := p.client(false), map[string]int{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				_, answer, _, err := p.send(client, "POST", "order")
				if err != nil {
					answer = err.Error()
				}
				mu.Lock()
				defer mu.Unlock()
				counted[answer]++
			})
			bubble.Pass(100 * time.Millisecond)
		}
		close(goOn)
		wg.Wait()
		if counted["b"] != 2 || counted["c"] != 2 || b.requests.Load() != 2 || c.requests.Load() != 2 {
			t.Errorf("%v; b got %d requests, c %d", counted, b.requests.Load(), c.requests.Load())
		}
		for _, e := range append(p.a.proxy.Endpoints(echoName), p.b.proxy.Endpoints(echoName)...) {
			if e.OutlierCheck != status.CheckOK {
				t.Errorf("%+v", e)
			}
		}
	})
}

// TestWaitForConnectionIsBounded: without a timeout of the policy too.
func TestWaitForConnectionIsBounded(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, g *simulated) {
		goOn := make(chan struct{})
		own := newPod(t, g, here, func(http.ResponseWriter, *http.Request) { <-goOn })
		p := newPath(t, spec{on: g, transport: "tcp", locals: pods(own), http: true, policy: few(1, 9)})
		client := p.client(true)
		var wg sync.WaitGroup
		wg.Go(func() { _, _, _, _ = p.send(p.client(false), "POST", "order") })
		bubble.Pass(time.Second)
		began := time.Now()
		code, _, h, err := p.send(client, "POST", "order")
		must(t, err)
		took := time.Since(began).Round(time.Second)
		if code != http.StatusServiceUnavailable || h.Get("X-Eastway-Reason") != "overflow" || took != 15*time.Second {
			t.Errorf("%d %v after %v", code, h, took)
		}
		close(goOn)
		wg.Wait()
		if n := own.requests.Load(); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}
