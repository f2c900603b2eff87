package failover_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/eastway/eastway/internal/status"
)

// TestTooManyRequestsOfPeer: over one HTTP/2 stream a peer could have more requests under way than streams. What is refused goes to another
// cluster, is not executed, and the peer is not ejected.
func TestTooManyRequestsOfPeer(t *testing.T) {
	t.Parallel()
	const most, sent = 9, 20 // three quarters of what all services may have
	inBubble(t, func(t *testing.T, g *simulated) {
		begun, goOn := make(chan struct{}, sent), make(chan struct{})
		b := newPod(t, g, near, func(w http.ResponseWriter, _ *http.Request) {
			begun <- struct{}{}
			<-goOn
			_, _ = w.Write([]byte("b"))
		})
		c := newPod(t, g, abroad, says("c"))
		p := newPath(t, spec{on: g, transport: "tcp", http: true, b: pods(b), c: pods(c), maxStreamsPerPeer: most / 3 * 4})
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
		if said := strings.Join(p.b.proxy.Problems(), "\n"); !strings.Contains(said, "HTTP requests of a peer refused") {
			t.Errorf("b's status: %q", said)
		}
		for _, e := range p.a.proxy.Endpoints(echoName) {
			if e.OutlierCheck != status.CheckOK {
				t.Errorf("at the caller: %+v", e)
			}
		}
	})
}
