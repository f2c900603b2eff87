package failover

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// TestCallIsForProxies: a peer carries a stream for requests as TCP, as its port has just become one. Once that is known, its endpoint
// sees nothing of what proxies tell each other.
func TestCallIsForProxies(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var calls []string
	w := newWorld(t, httpPeer("near", beside, func(in *fakeIncoming) {
		s, err := in.Accept(&tunnelpb.Answer{})
		if err != nil {
			return
		}
		serveFake(in.ctx, s, func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, r.Header.Get("X-Eastway-Call"))
		})
	}))
	client := w.steady()
	for range 2 {
		if code, _, _ := w.sendBy(client, "GET", "/", ""); code != 200 {
			t.Fatal(code)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(calls) != 2 || calls[1] != "" {
		t.Errorf("the endpoint gets %q", calls)
	}
}

// TestCutPeerComesAgain: the nearer peer is healthy, but the connection to it is lost when the request is under way; the application of
// the other peer answers 503. The third try is the nearer peer's, over another lane, not that of the other one's second endpoint.
func TestCutPeerComesAgain(t *testing.T) {
	t.Parallel()
	var near, far atomic.Int32
	byPeer := func(in *fakeIncoming, h http.HandlerFunc) {
		s, err := in.Accept(&tunnelpb.Answer{Http: true})
		if err != nil {
			return
		}
		serveFake(in.ctx, s, h)
	}
	w := newWorld(t, httpPeer("near", beside, func(in *fakeIncoming) {
		if near.Add(1) == 1 {
			_, _ = in.local.Read(make([]byte, 1))
			in.die()
			return
		}
		byPeer(in, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Eastway-Outcome", "answered;10.0.0.1:80;;;")
			_, _ = io.WriteString(w, "near")
		})
	}), httpPeer("far", abroad, func(in *fakeIncoming) {
		byPeer(in, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Eastway-Outcome", fmt.Sprintf("answered;10.0.0.%d:80;;;", 10+far.Add(1)))
			w.WriteHeader(http.StatusServiceUnavailable)
		})
	}), func(w *world, _ *Config) { w.service.Peers[1].Readiness[0].Ready = 2 })
	if code, answer, _ := w.send("GET", "/", ""); code != 200 || answer != "near" || near.Load() != 2 || far.Load() != 1 {
		t.Errorf("%d %q after %d streams to the nearer peer and %d answers of the other", code, answer, near.Load(), far.Load())
	}
}

// TestAnswerOfPeersProxy: the access log does not have an answer that the proxy of a peer made for one of an endpoint.
func TestAnswerOfPeersProxy(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]string{
		"rate-limit": "rate_limited: rate-limit", "of a later release": "error: of a later release", "": "error: peer answered",
	} {
		w := newWorld(t, httpPeer("near", beside, func(in *fakeIncoming) {
			s, err := in.Accept(&tunnelpb.Answer{Http: true})
			if err != nil {
				return
			}
			serveFake(in.ctx, s, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Eastway-Outcome", "answered;;;;")
				w.Header().Set("X-Eastway-Reason", reason)
				w.WriteHeader(http.StatusTooManyRequests)
			})
		}))
		if code, _, _ := w.send("GET", "/", ""); code != http.StatusTooManyRequests {
			t.Error(code)
		}
		w.eventually("logged", func() bool { return w.access.Len() == 1 })
		if line := w.access.All()[0].ContextMap(); fmt.Sprintf("%v: %v", line["result"], line["ended"]) != want {
			t.Errorf("%v: %v, want %s", line["result"], line["ended"], want)
		}
	}
}
