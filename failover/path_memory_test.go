package failover_test

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/bubble"
)

// TestClientsThatReadNothingPinLittle: requests of one HTTP/2 connection are answered at length, and their client does not read. What
// the proxies keep for each is bounded.
func TestClientsThatReadNothingPinLittle(t *testing.T) {
	t.Parallel()
	const requests = 12
	for name, most := range map[string]int64{"local": 1 << 20, "peer": 3 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, g *simulated) {
				var sent atomic.Int64
				endless := newPod(t, g, near, func(w http.ResponseWriter, _ *http.Request) {
					b := make([]byte, 16<<10)
					for {
						n, err := w.Write(b)
						sent.Add(int64(n))
						if err != nil {
							return
						}
					}
				})
				sp := spec{on: g, transport: "tcp", http: true, b: pods(endless)}
				if name == "local" {
					sp.locals, sp.b = pods(endless), nil
				}
				p := newPath(t, sp)
				client := p.client(true)
				get := func() io.Closer {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.service.String()+"/", nil)
					must(t, err)
					resp, err := client.Do(req)
					must(t, err)
					return resp.Body
				}
				var bodies []io.Closer
				for range requests {
					bodies = append(bodies, get())
				}
				bubble.Pass(time.Minute)
				// The client of this test takes up to 4 MiB for each by itself.
				if each := sent.Load()/requests - 4<<20; each > most {
					t.Errorf("the proxies keep %d KiB for each request", each>>10)
				}
				for _, body := range bodies {
					_ = body.Close()
				}
				client.CloseIdleConnections()
				bubble.Pass(time.Second)
			})
		})
	}
}
