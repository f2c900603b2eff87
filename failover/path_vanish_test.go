package failover_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/bubble"
)

const (
	// oneConnect is what one connect timeout and the way to the peer take.
	oneConnect = 5*time.Second + 200*time.Millisecond
	// aMinute is how long a host may be silent.
	aMinute = time.Minute
)

// TestHostOfPodVanishes: the host of the only endpoint swallows every packet, and b's proxy says so after one connect timeout. a's proxy
// does not try b again and again: the request ends as soon as one to an endpoint of its own cluster would.
func TestHostOfPodVanishes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method   string
		inFlight bool // when the host vanishes
		other    bool // c has the service too
		want     int
		within   time.Duration
	}{
		"a new request":                         {"POST", false, false, 503, oneConnect},
		"a new request, another peer":           {"POST", false, true, 200, oneConnect + time.Second},
		"a request in flight":                   {"GET", true, false, 503, aMinute + oneConnect},
		"a request in flight, another peer":     {"GET", true, true, 200, aMinute + time.Second},
		"a request in flight, not to repeat":    {"POST", true, false, 503, aMinute + time.Second},
		"a request in flight, nor to the other": {"POST", true, true, 503, aMinute + time.Second},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", HTTP/2"}[h2], func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, g *simulated) {
					began, over := make(chan struct{}, 1), make(chan struct{})
					defer close(over)
					b := newPod(t, g, near, func(_ http.ResponseWriter, r *http.Request) {
						if r.Method != http.MethodHead {
							began <- struct{}{}
							<-over
						}
					})
					sp := spec{on: g, transport: "tcp", http: true, b: pods(b)}
					if c.other {
						sp.c = pods(newPod(t, g, abroad, says("c")))
					}
					p := newPath(t, sp)
					client := p.client(h2)
					_, _, _, err := p.send(client, http.MethodHead, "") // b's proxy keeps its connection
					must(t, err)
					vanish := func() {
						g.net.Silence(siteAddrs["b"], appsAddr)
						g.net.Silence(appsAddr, siteAddrs["b"])
					}
					if c.inFlight {
						go func() {
							<-began
							vanish()
						}()
					} else {
						bubble.Pass(aMinute) // it does not keep it for so long
						vanish()
					}
					since := time.Now()
					code, _, header, err := p.send(client, c.method, "order one")
					must(t, err)
					if took := time.Since(since); code != c.want || took > c.within {
						t.Errorf("%d %v after %v, want %d within %v", code, header, took, c.want, c.within)
					}
				})
			})
		}
	}
}
