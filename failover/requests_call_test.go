package failover

import (
	"net/http"
	"sync"
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
