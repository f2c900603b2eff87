package failover

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// TestAnswerWithoutRoomElsewhere: an endpoint has answered 503, and no other one has room for another try: its answer is the caller's.
func TestAnswerWithoutRoomElsewhere(t *testing.T) {
	t.Parallel()
	spec := &v1alpha1.TrafficPolicySpec{
		Capacity: &v1alpha1.Capacity{MaxInFlightPerEndpoint: 1},
		Retries:  &v1alpha1.Retries{RetryOn: "503", Methods: []string{"GET", "POST"}},
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			var executed atomic.Int32
			entered, hold := make(chan struct{}), make(chan struct{})
			handler := func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/hold" {
					close(entered)
					<-hold
					return
				}
				executed.Add(1)
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = io.WriteString(w, "its own answer")
			}
			one, other := handler, handler
			w := newWorld(t, overHTTP, policy(spec), webs(here, one), webs(here, other))
			var holding sync.WaitGroup
			holding.Go(func() {
				if code, _, _ := w.send(http.MethodGet, "/hold", ""); code != http.StatusOK {
					t.Errorf("the call that fills an endpoint: %d", code)
				}
			})
			<-entered
			code, answer, header := w.send(method, "/", "order")
			close(hold)
			holding.Wait()
			if code != http.StatusServiceUnavailable || answer != "its own answer" || header.Get("X-Eastway-Reason") != "" || executed.Load() != 1 {
				t.Errorf("%d %q, reason %q, executed %d times", code, answer, header.Get("X-Eastway-Reason"), executed.Load())
			}
		})
	}
}

// TestRaceKeepsToCapacity: calls that do not get through to dead endpoints leave the one that lives no more than it can take.
func TestRaceKeepsToCapacity(t *testing.T) {
	t.Parallel()
	const each, dead, calls = 2, 9, 20
	var now, most atomic.Int32
	hold, rest := make(chan struct{}), make(chan struct{}) // rest: all but those that the endpoint takes are refused, or it got more
	decided := sync.OnceFunc(func() { close(rest) })
	handler := func(http.ResponseWriter, *http.Request) {
		n := now.Add(1)
		if n > each {
			decided()
		}
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-hold
		now.Add(-1)
	}
	spec := &v1alpha1.TrafficPolicySpec{Capacity: &v1alpha1.Capacity{MaxInFlightPerEndpoint: each}}
	w := newWorld(t, overHTTP, policy(spec), webs(here, handler), func(w *world, _ *Config) {
		for range dead {
			w.service.Endpoints[servicePort] = append(w.service.Endpoints[servicePort], endpoint(blackhole(w.t), here))
		}
	})
	var all sync.WaitGroup
	var refused atomic.Int32
	for range calls {
		all.Go(func() {
			if code, _, _ := w.send(http.MethodGet, "/", ""); code != http.StatusOK && refused.Add(1) == calls-each {
				decided()
			}
		})
	}
	<-rest
	close(hold)
	all.Wait()
	if most.Load() != each {
		t.Errorf("%d at a time, it can take %d", most.Load(), each)
	}
}
