package failover_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/status"
)

// sickly is a pod's application whose health can be broken apart from its answers; orders counts the requests that are no checks.
type sickly struct {
	name   string
	broken atomic.Bool
	orders atomic.Int32
}

func (s *sickly) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.UserAgent(), "eastway-health/") {
		s.orders.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, s.name)
		return
	}
	if s.broken.Load() || r.URL.Path != "/healthz" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// checked is a policy whose health check decides at once.
func checked() *v1alpha1.TrafficPolicySpec {
	once, second := uint32(1), &metav1.Duration{Duration: time.Second}
	return &v1alpha1.TrafficPolicySpec{HealthCheck: &v1alpha1.HealthCheck{
		HTTP: &v1alpha1.HTTPHealthCheck{Path: "/healthz"}, Interval: second, Timeout: second, UnhealthyThreshold: &once, HealthyThreshold: &once,
	}}
}

// answers sends n requests and counts what they get.
func (p *path) answers(client *http.Client, n int) map[string]int {
	p.t.Helper()
	got := make(map[string]int)
	for range n {
		code, answer, _, err := p.send(client, http.MethodPost, "order")
		must(p.t, err)
		got[fmt.Sprint(code, " ", answer)]++
	}
	return got
}

// readiness is what b has sent of its endpoints.
func (p *path) readiness() (ready, terminating uint32) {
	for _, r := range p.a.catalog.Snapshot().Services.Get(echoName).Peers[0].Readiness {
		ready, terminating = ready+r.Ready, terminating+r.Terminating
	}
	return ready, terminating
}

// TestHealthCheckThroughPeer: b checks its only pod, whose readiness Kubernetes does not doubt. While it fails, b advertises no ready
// endpoint, and calls from a go to c, all of them. If c's fails too, they are tried all the same. Then all is as it was.
func TestHealthCheckThroughPeer(t *testing.T) {
	t.Parallel()
	for _, isHTTP := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP %v", isHTTP), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, g *simulated) {
				b, c := &sickly{name: "b"}, &sickly{name: "c"}
				p := newPath(t, spec{
					on: g, transport: "tcp", http: isHTTP, peerPolicy: checked(),
					b: pods(newPod(t, g, near, b.ServeHTTP)), c: pods(newPod(t, g, abroad, c.ServeHTTP)),
				})
				client := p.client(false)
				for _, phase := range []struct {
					what               string
					b, c               bool
					ready, terminating uint32
					want               string
				}{
					{"healthy", false, false, 1, 0, "b"},
					{"b fails", true, false, 0, 1, "c"},
					{"both fail", true, true, 0, 1, "b"},
					{"c passes", true, false, 0, 1, "c"},
					{"both pass", false, false, 1, 0, "b"},
				} {
					b.broken.Store(phase.b)
					c.broken.Store(phase.c)
					if !isHTTP {
						client = p.client(false) // connections stay where they are
					}
					bubble.Pass(2 * time.Second)
					if ready, terminating := p.readiness(); ready != phase.ready || terminating != phase.terminating {
						t.Errorf("%s: b advertises %d ready endpoints, %d that terminate", phase.what, ready, terminating)
					}
					if got := p.answers(client, 20); got["200 "+phase.want] != 20 {
						t.Errorf("%s: %v, want %s", phase.what, got, phase.want)
					}
				}
				if e := p.b.proxy.Endpoints(echoName)[0]; e.Status != status.Healthy || e.HealthCheck != "" {
					t.Errorf("%+v", e)
				}
			})
		})
	}
}

// TestHealthCheckOfOwn: a's own endpoint fails its check while requests go on, and the policy changes meanwhile. None fails.
func TestHealthCheckOfOwn(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, g *simulated) {
		own, b := &sickly{name: "own"}, &sickly{name: "b"}
		p := newPath(t, spec{
			on: g, transport: "tcp", http: true, policy: checked(),
			locals: pods(newPod(t, g, here, own.ServeHTTP)), b: pods(newPod(t, g, near, b.ServeHTTP)),
		})
		client := p.client(false)
		change := func(edit func(*v1alpha1.TrafficPolicySpec)) {
			policy := checked()
			edit(policy)
			svc := *p.a.local.Services.Get(echoName)
			p.a.local.Services = p.a.local.Services.With(echoName, &svc)
			p.a.local.Policies = p.a.local.Policies.With(echoName, policy)
			p.a.catalog.SetLocal(p.a.local)
		}
		for _, phase := range []struct {
			what string
			do   func()
			want string
		}{
			{"healthy", func() {}, "own"},
			{"it fails", func() { own.broken.Store(true) }, "b"},
			{"another interval", func() {
				change(func(p *v1alpha1.TrafficPolicySpec) { p.HealthCheck.Interval.Duration = time.Minute })
			}, "b"},
			{"no check", func() { change(func(p *v1alpha1.TrafficPolicySpec) { p.HealthCheck = nil }) }, "own"},
			{"a check again", func() { change(func(*v1alpha1.TrafficPolicySpec) {}) }, "b"},
			{"another path", func() {
				own.broken.Store(false)
				change(func(p *v1alpha1.TrafficPolicySpec) { p.HealthCheck.HTTP.Path = "/ready" })
			}, "b"},
			{"a connect is enough", func() {
				change(func(p *v1alpha1.TrafficPolicySpec) {
					p.HealthCheck.HTTP, p.HealthCheck.TCP = nil, &v1alpha1.TCPHealthCheck{}
				})
			}, "own"},
		} {
			phase.do()
			bubble.Pass(2 * time.Second)
			if got := p.answers(client, 20); got["200 "+phase.want] != 20 {
				t.Errorf("%s: %v, want %s", phase.what, got, phase.want)
			}
			e := p.a.proxy.Endpoints(echoName)[0]
			problems := p.a.proxy.Problems()
			if isWell := phase.want == "own"; (e.Status == status.Healthy) != isWell || (e.HealthCheck == "") != isWell ||
				(len(problems) == 0) != isWell {
				t.Errorf("%s: %+v, %q", phase.what, e, problems)
			}
		}
	})
}

// TestHealthCheckEndsEjection: an endpoint that was ejected for its answers, and then failed its check, is back when it passes, long before
// its ejection is over. No request fails.
func TestHealthCheckEndsEjection(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, g *simulated) {
		own, b := &breakable{name: "own"}, &sickly{name: "b"}
		once, policy := uint32(1), checked()
		policy.OutlierDetection = &v1alpha1.OutlierDetection{
			Consecutive5xxErrors: &once,
			BaseEjectionTime:     &metav1.Duration{Duration: time.Hour}, MaxEjectionTime: &metav1.Duration{Duration: time.Hour},
		}
		p := newPath(t, spec{
			on: g, transport: "tcp", http: true, policy: policy,
			locals: pods(newPod(t, g, here, own.ServeHTTP)), b: pods(newPod(t, g, near, b.ServeHTTP)),
		})
		client := p.client(false)
		fails := fails(http.StatusServiceUnavailable)
		own.broken.Store(&fails) // its health check too
		code, answer, _, err := p.send(client, http.MethodGet, "")
		must(t, err)
		if code != http.StatusOK || answer != "b" {
			t.Errorf("%d %q", code, answer)
		}
		bubble.Pass(2 * time.Second)
		e := p.a.proxy.Endpoints(echoName)[0]
		if e.OutlierCheck != status.CheckFailed || e.Status != status.FailedActiveHC || e.HealthCheck != "GET /healthz: 503" {
			t.Errorf("%+v", e)
		}
		own.broken.Store(nil)
		bubble.Pass(15 * time.Second) // it has its full share
		if got := p.answers(client, 20); got["200 own"] != 20 {
			t.Errorf("%v", got)
		}
	})
}

// TestPodIsGone: the pod of b's only endpoint is gone, and Kubernetes does not know yet. b finds out within the interval and the timeout.
func TestPodIsGone(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, g *simulated) {
		b, c := &sickly{name: "b"}, &sickly{name: "c"}
		p := newPath(t, spec{
			on: g, transport: "tcp", http: true, peerPolicy: checked(),
			b: pods(newPod(t, g, near, b.ServeHTTP)), c: pods(newPod(t, g, abroad, c.ServeHTTP)),
		})
		g.net.Silence(siteAddrs["b"], appsAddr) // from b alone, so that c's pod is still there
		bubble.Pass(2200 * time.Millisecond)    // the interval, the timeout, and how long the news take
		if ready, _ := p.readiness(); ready != 0 {
			t.Errorf("b advertises %d ready endpoints", ready)
		}
		if e := p.b.proxy.Endpoints(echoName)[0]; e.HealthCheck != "connect: no answer within 1s" {
			t.Errorf("%+v", e)
		}
		if got := p.answers(p.client(false), 20); got["200 c"] != 20 {
			t.Errorf("%v", got)
		}
	})
}
