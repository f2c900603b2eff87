package failover_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/eastway/eastway/internal/sim/simnet"
	"github.com/eastway/eastway/internal/status"
)

// TestTooManyRequestsOfPeer: over one HTTP/2 stream a peer could have more requests under way than streams. What is refused goes to another
// cluster, is not executed, and the peer is not ejected.
func TestTooManyRequestsOfPeer(t *testing.T) {
	t.Parallel()
	const most, sent = 9, 20 // nine sixteenths of what the peer may have: its callers share what a service may have
	inBubble(t, func(t *testing.T, g *simulated) {
		begun, goOn := make(chan struct{}, sent), make(chan struct{})
		b := newPod(t, g, near, func(w http.ResponseWriter, _ *http.Request) {
			begun <- struct{}{}
			<-goOn
			_, _ = w.Write([]byte("b"))
		})
		c := newPod(t, g, abroad, says("c"))
		p := newPath(t, spec{on: g, transport: "tcp", http: true, b: pods(b), c: pods(c), maxStreamsPerPeer: most / 9 * 16})
		client := p.client(true)
		answers := make(chan string, sent)
		var wg sync.WaitGroup
		send := func() {
			wg.Go(func() {
				_, answer, _, err := p.send(client, http.MethodPost, "order")
				if err != nil {
					answer = err.Error()
				}
				answers <- answer
			})
		}
		for range most {
			send()
			<-begun
		}
		for range sent - most {
			send()
			if answer := <-answers; answer != "c" {
				t.Errorf("%q", answer)
			}
		}
		close(goOn)
		wg.Wait()
		for range most {
			if answer := <-answers; answer != "b" {
				t.Errorf("%q", answer)
			}
		}
		if b.requests.Load() != most {
			t.Errorf("b executed %d requests", b.requests.Load())
		}
		if said := strings.Join(p.b.proxy.Problems(), "\n"); !strings.Contains(said, "a quarter of it is one caller's") {
			t.Errorf("b's status: %q", said)
		}
		for _, e := range p.a.proxy.Endpoints(echoName) {
			if e.OutlierCheck != status.CheckOK {
				t.Errorf("at the caller: %+v", e)
			}
		}
	})
}

// TestOneCallerTakesNotAll: an application of a takes what it may of b's service. Its next call gets b's reason into a's access log; an
// application on another host of a is served.
func TestOneCallerTakesNotAll(t *testing.T) {
	t.Parallel()
	const most = 9
	for name, isHTTP := range map[string]bool{"TCP": false, "HTTP": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, g *simulated) {
				over := make(chan struct{})
				defer close(over)
				b := newPod(t, g, near, func(http.ResponseWriter, *http.Request) { <-over })
				p := newPath(t, spec{on: g, transport: "tcp", http: isHTTP, b: pods(b), maxStreamsPerPeer: most / 9 * 16})
				other := g.net.Host(netip.MustParseAddr("10.8.0.2")).Start()
				for n := int32(1); n <= most+1; n++ {
					from := g.client
					if n > most {
						from = other
					}
					callFrom(t, from, p.service)
					await(t, "the request is there", func() bool { return b.requests.Load() == n })
					if n == most {
						callFrom(t, from, p.service)
						await(t, "one is refused", func() bool { return p.a.access.Len() == 1 })
					}
				}
				line := p.a.access.All()[0].ContextMap()
				attempts := fmt.Sprint(line["attempts"])
				if line["result"] != "limit" || !isHTTP && !strings.Contains(attempts, "9 of 12 streams that this peer may have to one service") {
					t.Errorf("%v", line)
				}
			})
		})
	}
}

// callFrom sends a request and does not wait for its answer.
func callFrom(t *testing.T, from *simnet.Process, to netip.AddrPort) {
	t.Helper()
	c, err := from.Dial(t.Context(), to)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	_, err = c.Write([]byte("GET / HTTP/1.1\r\nHost: b\r\n\r\n"))
	must(t, err)
}
