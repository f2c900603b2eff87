package failover_test

import (
	"fmt"
	"net/http/cookiejar"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// TestCookieKeepsThePeersEndpoint: only the calling cluster has the policy.
func TestCookieKeepsThePeersEndpoint(t *testing.T) {
	t.Parallel()
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		var all []*pod
		for i := range 3 {
			all = append(all, newPod(t, g, near, says(fmt.Sprint(i))))
		}
		p := newPath(t, spec{on: g, transport: over, b: pods(all...), http: true, policy: &v1alpha1.TrafficPolicySpec{
			LoadBalancer: &v1alpha1.LoadBalancer{ConsistentHash: &v1alpha1.ConsistentHash{HTTPCookie: &v1alpha1.HTTPCookie{
				Name: "user", Path: "/", TTL: &metav1.Duration{Duration: time.Hour},
			}}},
		}})
		seen := make(map[string]bool)
		for range 8 {
			client := p.client(false)
			client.Jar, _ = cookiejar.New(nil)
			_, first, header, err := p.send(client, "GET", "")
			must(t, err)
			if n := len(header.Values("Set-Cookie")); n != 1 {
				t.Fatalf("%d cookies", n)
			}
			seen[first] = true
			for range 3 {
				_, again, header, err := p.send(client, "GET", "")
				must(t, err)
				if n := len(header.Values("Set-Cookie")); again != first || n != 0 {
					t.Errorf("the client was at %s, then at %s with %d cookies", first, again, n)
				}
			}
		}
		if len(seen) < 2 {
			t.Errorf("all clients are at %v", seen)
		}
	})
}

// TestWeightsOfRequests: 90 to 10 with two clusters; when the own endpoint is gone the other has all, and nothing is lost.
func TestWeightsOfRequests(t *testing.T) {
	t.Parallel()
	inBubbles(t, simTransports[:1], func(t *testing.T, g *simulated, over string) {
		const requests = 1000
		own, far := newPod(t, g, here, says("v1")), newPod(t, g, abroad, says("v2"))
		weights := &v1alpha1.TrafficPolicySpec{LoadBalancer: &v1alpha1.LoadBalancer{LocalityLbSetting: &v1alpha1.LocalityLbSetting{
			Distribute: []v1alpha1.LocalityDistribute{{
				From: here.Region + "/*", To: map[string]uint32{here.Region + "/*": 90, abroad.Region + "/*": 10},
			}},
		}}}
		p := newPath(t, spec{on: g, transport: over, locals: pods(own), b: pods(far), http: true, policy: weights})
		send := func() (failed int) {
			client := p.client(false)
			for range requests {
				if code, _, _, err := p.send(client, "GET", ""); code != 200 || err != nil {
					failed++
				}
			}
			return failed
		}
		if failed := send(); failed > 0 {
			t.Errorf("%d requests failed", failed)
		}
		v1, v2 := own.requests.Load(), far.requests.Load()
		if v1+v2 != requests || v1 < 850 || v1 > 950 {
			t.Errorf("%d and %d requests, want about 900 and 100", v1, v2)
		}
		p.a.loses(t)
		if failed := send(); failed > 0 || far.requests.Load()-v2 != requests || own.requests.Load() != v1 {
			t.Errorf("%d requests failed, %d were answered by the other cluster", failed, far.requests.Load()-v2)
		}
	})
}

// TestRoundsOfRequests: with locality off, the two clusters' endpoints take turns.
func TestRoundsOfRequests(t *testing.T) {
	t.Parallel()
	inBubbles(t, simTransports[:1], func(t *testing.T, g *simulated, over string) {
		const requests = 200
		own, far := newPod(t, g, here, says("a")), newPod(t, g, abroad, says("b"))
		p := newPath(t, spec{on: g, transport: over, locals: pods(own), b: pods(far), http: true, policy: &v1alpha1.TrafficPolicySpec{
			LoadBalancer: &v1alpha1.LoadBalancer{
				Simple: v1alpha1.RoundRobin, LocalityLbSetting: &v1alpha1.LocalityLbSetting{Enabled: new(bool)},
			},
		}})
		client := p.client(false)
		for range requests {
			if code, _, _, err := p.send(client, "GET", ""); code != 200 || err != nil {
				t.Fatalf("%d %v", code, err)
			}
		}
		if a, b := own.requests.Load(), far.requests.Load(); a != requests/2 || b != requests/2 {
			t.Errorf("%d and %d requests, want %d each", a, b, requests/2)
		}
	})
}

// loses takes all own endpoints out of the site's service.
func (s *site) loses(t *testing.T) {
	t.Helper()
	local := s.local
	svc := *local.Services.Get(echoName)
	svc.Endpoints = nil
	local.Services = local.Services.With(echoName, &svc)
	s.catalog.SetLocal(local)
	await(t, "the endpoints are gone", s.follows)
}
