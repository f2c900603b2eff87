package failover

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover/access"
)

// perHour is a rule whose bucket gets a token in a quarter of an hour or more: no test takes so long.
func perHour(quota uint32, m v1alpha1.RateLimitMatch) v1alpha1.RateLimitRule {
	return v1alpha1.RateLimitRule{Quota: quota, FillInterval: metav1.Duration{Duration: time.Hour}, Match: m}
}

func rateLimit(rules ...v1alpha1.RateLimitRule) *v1alpha1.TrafficPolicySpec {
	return &v1alpha1.TrafficPolicySpec{RateLimit: &v1alpha1.RateLimit{Rules: rules}}
}

// TestRateLimit: what is beyond it reaches no endpoint, and is no endpoint's failure.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.1", "2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			w := newWorld(t, overHTTP, policy(rateLimit(perHour(4, v1alpha1.RateLimitMatch{}))), webs(here, counting(&n, says("ok"))))
			tr, got := w.transports()[version], []string{}
			for range 4 + ejectAfter {
				answer, _ := w.over(tr, "POST", "/", strings.NewReader("order"))
				got = append(got, answer)
			}
			want := slices.Concat(slices.Repeat([]string{"200 ok"}, 4), slices.Repeat([]string{"429 "}, ejectAfter))
			if !slices.Equal(got, want) || n.Load() != 4 {
				t.Errorf("%q, the endpoint got %d", got, n.Load())
			}
			w.eventually("logged", func() bool { return w.access.Len() == len(want) })
			line := w.access.All()[4].ContextMap()
			if line["result"] != access.RateLimited || line["response_flags"] != "RL" || line["response_code"] != int64(429) ||
				line["endpoint"] != "" {
				t.Errorf("%v", line)
			}
			if got := testutil.ToFloat64(w.proxy.metrics.limits.WithLabelValues("shop/echo", "rate_limit")); got != ejectAfter {
				t.Errorf("%v counted", got)
			}
			if w.log.FilterMessage("endpoint ejected").Len() > 0 || w.log.FilterMessageSnippet("rateLimit allows no more").Len() != 1 {
				t.Errorf("%v", w.log.All())
			}
			if p := w.proxy.Problems(); len(p) != 1 || !strings.HasPrefix(p[0], "service shop/echo: requests or connections refused") {
				t.Errorf("status has %q", p)
			}
			w.nothingInFlight()
		})
	}
}

// TestRateLimitAtOnce: of many requests at the same time, exactly as many are served as there are tokens, and connections to the endpoint
// that were made for others serve the next ones.
func TestRateLimitAtOnce(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.1", "2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			var n, served atomic.Int32
			w := newWorld(t, overHTTP, policy(rateLimit(perHour(5, v1alpha1.RateLimitMatch{Methods: []string{"PUT"}}))),
				webs(here, counting(&n, says("ok"))))
			tr, done := w.transports()[version], make(chan struct{})
			for range 50 {
				go func() {
					defer func() { done <- struct{}{} }()
					if got, _ := w.over(tr, "PUT", "/", nil); got == "200 ok" {
						served.Add(1)
					} else if got != "429 " {
						t.Error(got)
					}
				}()
			}
			for range 50 {
				<-done
			}
			if served.Load() != 5 || n.Load() != 5 {
				t.Errorf("%d served, the endpoint got %d", served.Load(), n.Load())
			}
			for range 10 {
				if got, _ := w.over(tr, "POST", "/", strings.NewReader("not limited")); got != "200 ok" {
					t.Error(got)
				}
			}
			w.nothingInFlight()
		})
	}
}

// TestRateLimitReason: the caller learns when to come again, of gRPC by a status.
func TestRateLimitReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t, overHTTP, policy(rateLimit(perHour(4, v1alpha1.RateLimitMatch{Hosts: []string{"*.shop"}, PathPrefixes: []string{"/cart"}}))),
		webs(here, says("ok")))
	ask := func(kind, host, path string) (status int, header http.Header) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url(path), strings.NewReader("order"))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.Header.Set("Content-Type", kind)
		resp, err := w.h2client().RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.StatusCode, resp.Header
	}
	for range 4 {
		ask("text/plain", "a.shop", "/cart/one")
	}
	for kind, want := range map[string]string{"text/plain": "429 rate-limit ", "application/grpc": "200 rate-limit 8"} {
		code, h := ask(kind, "a.shop:8000", "/cart")
		if got := fmt.Sprint(code, " ", h.Get("X-Eastway-Reason"), " ", h.Get("Grpc-Status")); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
		if after, err := strconv.Atoi(h.Get("Retry-After")); err != nil || after < 700 || after > 900 {
			t.Errorf("%s: Retry-After: %d, %v", kind, after, err)
		}
		ms, err := strconv.Atoi(h.Get("Grpc-Retry-Pushback-Ms"))
		if (err == nil) != (kind == "application/grpc") || err == nil && (ms < 700_000 || ms > 900_000) {
			t.Errorf("%s: pushback: %d ms, %v", kind, ms, err)
		}
	}
	for _, other := range [][2]string{{"shop", "/cart"}, {"a.shop", "/cartoon"}} {
		if code, _ := ask("text/plain", other[0], other[1]); code != http.StatusOK {
			t.Errorf("%v: %d", other, code)
		}
	}
}

// TestRateLimitEdits: tokens survive a change of the policy that leaves their rule alone, and a change of the number of proxies.
func TestRateLimitEdits(t *testing.T) {
	t.Parallel()
	all := perHour(4, v1alpha1.RateLimitMatch{})
	w := newWorld(t, overHTTP, policy(rateLimit(all)), webs(here, says("ok")))
	apply := func(proxies int, p *v1alpha1.TrafficPolicySpec) {
		t.Helper()
		w.service.Policy = p
		s := w.snapshot()
		s.Revision, s.Proxies = w.proxy.Revision()+1, proxies
		w.catalog.set(s)
		w.eventually("followed", func() bool { return w.proxy.Revision() == s.Revision })
	}
	served := func(want int) {
		t.Helper()
		n := 0
		for range 8 {
			if code, _, _ := w.send("GET", "/", ""); code == http.StatusOK {
				n++
			}
		}
		if n != want {
			t.Errorf("%d served, want %d", n, want)
		}
	}
	apply(2, rateLimit(all))
	served(2)
	apply(1, rateLimit(all))
	served(0)
	p := rateLimit(perHour(100, v1alpha1.RateLimitMatch{Methods: []string{"GET"}}), all)
	p.OutlierDetection = &v1alpha1.OutlierDetection{Consecutive5xxErrors: new(uint32(9))}
	apply(1, p)
	served(0)
	apply(1, rateLimit(perHour(5, v1alpha1.RateLimitMatch{})))
	served(5)
	apply(1, nil)
	served(8)
}

// TestRetryCountsOnce: a request that is repeated here takes one token.
func TestRetryCountsOnce(t *testing.T) {
	t.Parallel()
	var tries atomic.Int32
	first := func(w http.ResponseWriter, r *http.Request) {
		tries.Add(1)
		if r.Header.Get("X-Eastway-Attempt") == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	w := newWorld(t, overHTTP, policy(rateLimit(perHour(3, v1alpha1.RateLimitMatch{}))), webs(here, first), webs(beside, first))
	for i, want := range []int{200, 200, 200, 429} {
		if code, _, _ := w.send("GET", "/", ""); code != want {
			t.Errorf("request %d: %d, want %d", i, code, want)
		}
	}
	if n := tries.Load(); n != 6 {
		t.Errorf("%d tries", n)
	}
}
