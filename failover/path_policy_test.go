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

// TestPeerHasNoPlace: b's policy allows one request at a time; the next one goes to c, and b is not ejected.
func TestPeerHasNoPlace(t *testing.T) {
	t.Parallel()
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		begun, goOn := make(chan struct{}), make(chan struct{})
		busy := newPod(t, g, near, func(http.ResponseWriter, *http.Request) { close(begun); <-goOn })
		p := newPath(t, spec{
			on: g, transport: over, b: pods(busy), c: pods(newPod(t, g, abroad, says("c"))), http: true,
			peerPolicy: &v1alpha1.TrafficPolicySpec{
				ConnectionPool: &v1alpha1.ConnectionPool{HTTP: &v1alpha1.HTTPSettings{HTTP2MaxRequests: new(int32(1))}},
			},
		})
		first := make(chan error, 1)
		go func() {
			_, _, _, err := p.send(p.client(false), "POST", "order one")
			first <- err
		}()
		<-begun
		for range 5 {
			code, answer, _, err := p.send(p.client(false), "POST", "order two")
			must(t, err)
			if code != http.StatusOK || answer != "c" {
				t.Errorf("%d %q", code, answer)
			}
		}
		close(goOn)
		must(t, <-first)
		for _, e := range p.a.proxy.Endpoints(echoName) {
			if e.OutlierCheck != status.CheckOK {
				t.Errorf("at the caller: %+v", e)
			}
		}
	})
}
