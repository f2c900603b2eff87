package failover_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/bubble"
)

// TestDrainWaitsForSlowReader: a peer drains while an application reads the end of its answer slowly. The answer arrives whole.
func TestDrainWaitsForSlowReader(t *testing.T) {
	t.Parallel()
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		const size = 600 << 10
		goOn := make(chan struct{})
		b := newPod(t, g, near, func(w http.ResponseWriter, _ *http.Request) {
			<-goOn
			_, _ = io.WriteString(w, strings.Repeat("x", size))
		})
		p := newPath(t, spec{on: g, transport: over, http: true, b: pods(b)})
		c, err := p.dial()
		must(t, err)
		_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: b\r\n\r\n")
		must(t, err)
		bubble.Pass(time.Second)
		p.b.node.GoAway()
		drained := make(chan error, 1)
		go func() { drained <- p.b.proxy.Drain(t.Context()) }()
		bubble.Pass(time.Second)
		close(goOn)
		bubble.Pass(20 * time.Second) // the application is busy
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		must(t, err)
		defer resp.Body.Close()
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != size {
			t.Errorf("%d of %d bytes: %v%s", n, size, err, p.story(c))
		}
		must(t, <-drained)
	})
}
