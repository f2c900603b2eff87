package failover_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/status"
)

// TestSilentPodBehindPeer: one of two pods accepts and never answers. Requests go on to the other one in time, the peer's proxy ejects the
// silent one, and the peer stays.
func TestSilentPodBehindPeer(t *testing.T) {
	t.Parallel()
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		silent := newPod(t, g, near, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		policy := &v1alpha1.TrafficPolicySpec{Retries: &v1alpha1.Retries{PerTryTimeout: &metav1.Duration{Duration: time.Second}}}
		p := newPath(t, spec{
			on: g, transport: over, b: pods(silent, newPod(t, g, near, says("b"))), http: true,
			policy: policy, peerPolicy: policy,
		})
		client := p.client(false)
		for i := range 40 {
			began := time.Now()
			code, answer, _, err := p.send(client, "GET", "")
			must(t, err)
			if took := time.Since(began); code != 200 || answer != "b" || took > 2*time.Second {
				t.Errorf("request %d: %d %q after %v", i, code, answer, took)
			}
		}
		if n := silent.requests.Load(); n != 3 {
			t.Errorf("the silent pod got %d requests", n)
		}
		if !slices.ContainsFunc(p.b.proxy.Endpoints(echoName), func(e status.Endpoint) bool {
			return e.Address == silent.Address.String() && e.EjectionKind == "answer_timeout"
		}) {
			t.Errorf("at the peer: %+v", p.b.proxy.Endpoints(echoName))
		}
		for _, e := range p.a.proxy.Endpoints(echoName) {
			if e.OutlierCheck != status.CheckOK {
				t.Errorf("at the caller: %+v", e)
			}
		}
	})
}
