package failover_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/status"
)

// quota is a policy with one rule, for callers in these clusters.
func quota(n uint32, fill time.Duration, clusters ...string) *v1alpha1.TrafficPolicySpec {
	return &v1alpha1.TrafficPolicySpec{RateLimit: &v1alpha1.RateLimit{Rules: []v1alpha1.RateLimitRule{{
		Quota: n, FillInterval: metav1.Duration{Duration: fill}, Match: v1alpha1.RateLimitMatch{Clusters: clusters},
	}}}}
}

// TestRateLimitThroughPeer: b's policy counts what its pods get. Its 429 is the application's: it is repeated nowhere, though a's policy
// repeats that status, and ejects nothing. a's own limit does not count what b serves.
func TestRateLimitThroughPeer(t *testing.T) {
	t.Parallel()
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			t.Parallel()
			inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
				b, c := newPod(t, g, near, says("b")), newPod(t, g, abroad, says("c"))
				calling := quota(1, time.Hour)
				calling.Retries = &v1alpha1.Retries{RetryOn: "429,resource-exhausted,5xx", Methods: []string{"POST", "GET"}, Attempts: new(uint32(3))}
				p := newPath(t, spec{
					on: g, transport: over, b: pods(b), c: pods(c), http: true, policy: calling, peerPolicy: quota(3, 3*time.Second, "x", "a"),
				})
				client := p.client(h2)
				for i := range 3 {
					code, answer, _, err := p.send(client, "POST", "order one")
					must(t, err)
					if code != http.StatusOK || answer != "b" {
						t.Errorf("request %d: %d %q", i, code, answer)
					}
				}
				for range 6 {
					code, answer, h, err := p.send(client, "POST", "order two")
					must(t, err)
					if code != http.StatusTooManyRequests || answer != "" || h.Get("Retry-After") != "1" ||
						h.Get("X-Eastway-Reason") != "rate-limit" {
						t.Errorf("%d %q %v", code, answer, h)
					}
				}
				bubble.Pass(time.Second)
				code, answer, _, err := p.send(client, "GET", "")
				must(t, err)
				if code != http.StatusOK || answer != "b" || b.requests.Load() != 4 || c.requests.Load() != 0 {
					t.Errorf("%d %q, b got %d requests, c %d", code, answer, b.requests.Load(), c.requests.Load())
				}
				at, far := p.a.access.All()[5].ContextMap(), p.b.access.All()[5].ContextMap()
				attempts, _ := at["attempts"].([]any)
				if len(attempts) != 1 || at["response_code"] != int64(429) || far["result"] != "rate_limited" || far["response_flags"] != "RL" {
					t.Errorf("the caller's proxy: %v\nthe peer's: %v", at, far)
				}
				for _, e := range append(p.a.proxy.Endpoints(echoName), p.b.proxy.Endpoints(echoName)...) {
					if e.OutlierCheck != status.CheckOK {
						t.Errorf("%+v", e)
					}
				}
			})
		})
	}
}

// TestRateLimitOfOwnCalls: what is beyond the limit goes to no peer, and calls that begin at the exact time of the next token get it.
func TestRateLimitOfOwnCalls(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, g *simulated) {
		own, b := newPod(t, g, here, says("own")), newPod(t, g, near, says("b"))
		p := newPath(t, spec{on: g, transport: "tcp", locals: pods(own), b: pods(b), http: true, policy: quota(10, 10*time.Second, "a")})
		client, counted := p.client(false), map[int]int{}
		for range 150 { // 15 seconds
			code, _, _, err := p.send(client, "POST", "order")
			must(t, err)
			counted[code]++
			bubble.Pass(100 * time.Millisecond)
		}
		n := counted[http.StatusOK]
		if n < 24 || n > 25 || counted[http.StatusTooManyRequests] != 150-n || int(own.requests.Load()) != n || b.requests.Load() > 0 {
			t.Errorf("%v, the pod got %d requests, b %d", counted, own.requests.Load(), b.requests.Load())
		}
	})
}

// TestRateLimitOfStreams: connections beyond b's limit go to c, which is no failure of b, and to b again when it has a token.
func TestRateLimitOfStreams(t *testing.T) {
	t.Parallel()
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		b, c := newPod(t, g, near, says("b")), newPod(t, g, abroad, says("c"))
		p := newPath(t, spec{on: g, transport: over, b: pods(b), c: pods(c), peerPolicy: quota(2, time.Second, "a")})
		for i, want := range []string{"b", "b", "c", "c"} {
			code, answer, _, err := p.send(p.client(false), "POST", "order")
			must(t, err)
			if code != http.StatusOK || answer != want {
				t.Errorf("connection %d: %d %q, want %q", i, code, answer, want)
			}
		}
		bubble.Pass(time.Second)
		if _, answer, _, err := p.send(p.client(false), "POST", "order"); err != nil || answer != "b" {
			t.Errorf("%q %v", answer, err)
		}
		for _, e := range append(p.a.proxy.Endpoints(echoName), p.b.proxy.Endpoints(echoName)...) {
			if e.OutlierCheck != status.CheckOK {
				t.Errorf("%+v", e)
			}
		}
	})
}
