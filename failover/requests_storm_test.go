package failover

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// TestRetryStorm: when every endpoint answers 503, retries add a fifth to the load, and what is always allowed: three in a second.
func TestRetryStorm(t *testing.T) {
	t.Parallel()
	const requests, callers, minimum = 2000, 8, 3
	var n atomic.Int32
	busy := counting(&n, refusing(503))
	w := newWorld(t, overHTTP, webs(here, busy, busy, busy)) //nolint:gocritic // three endpoints
	began := time.Now()
	var wg sync.WaitGroup
	for range callers {
		client := w.steady()
		wg.Go(func() {
			for range requests / callers {
				if code, answer, _ := w.sendBy(client, http.MethodGet, "/", ""); code != 503 || answer != "from the endpoint" {
					t.Errorf("%d %q", code, answer)
				}
			}
		})
	}
	wg.Wait()
	seconds := int32(time.Since(began)/time.Second) + 11 // the minimum of a window may be used at once
	added := n.Load() - requests
	if most := requests/5 + minimum*seconds; added > most || added < requests/10 {
		t.Errorf("%d requests became %d: %d more, at most %d", requests, n.Load(), added, most)
	}
	w.nothingInFlight()
}

// TestRetryAfter: an endpoint that wants no requests for a while gets none while another one is there, and is not ejected.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int32{http.StatusServiceUnavailable: 1, http.StatusTooManyRequests: 5} {
		var near atomic.Int32
		w := newWorld(t, overHTTP, webs(here, counting(&near, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "10")
			w.WriteHeader(status)
		})), webs(beside, says("far")))
		for range 5 {
			w.send("POST", "/", "")
		}
		if near.Load() != want || w.log.FilterMessage("endpoint ejected").Len() > 0 {
			t.Errorf("%d: the endpoint got %d requests, want %d", status, near.Load(), want)
		}
	}
}

// TestPushback: an endpoint of gRPC decides whether it is tried again, and the next one learns that it is not the first.
func TestPushback(t *testing.T) {
	t.Parallel()
	for pushback, want := range map[string]string{"": "1 far", "0": "1 far", "5": "1 far", "-1": "14", "60000": "14"} {
		var before atomic.Pointer[string]
		w := newWorld(t, overHTTP, retries(v1alpha1.Retries{RetryOn: "unavailable", Methods: []string{"POST"}}),
			webs(here, func(w http.ResponseWriter, r *http.Request) {
				if pushback != "" {
					w.Header().Set("Grpc-Retry-Pushback-Ms", pushback)
				}
				grpcError("14")(w, r)
			}), webs(beside, func(w http.ResponseWriter, r *http.Request) {
				s := r.Header.Get("Grpc-Previous-Rpc-Attempts")
				before.Store(&s)
				says("far")(w, r)
			}))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url("/"), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/grpc")
		resp, err := w.client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		got := resp.Header.Get("Grpc-Status")
		if s := before.Load(); s != nil {
			got = *s + " far"
		}
		if got != want {
			t.Errorf("pushback %q: %s, want %s", pushback, got, want)
		}
	}
}
