package failover_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

const (
	// headBytes and headFields are what a head may have.
	headBytes  = 60 << 10
	headFields = 100
)

// filled is a head with as many bytes and fields as it may have; first is its first line, and more are fields.
func filled(first string, more ...string) string {
	lines := append([]string{first}, more...)
	for len(lines) < headFields {
		lines = append(lines, fmt.Sprintf("X-%d: a", len(lines)))
	}
	head := strings.Join(lines, "\r\n") + "\r\nX-Large: \r\n\r\n"
	return strings.Replace(head, "X-Large: ", "X-Large: "+strings.Repeat("b", headBytes-len(head)), 1)
}

// TestLargestHeads: what proxies tell each other about a request counts neither as its bytes nor as its fields; nor does what they
// add for another try.
func TestLargestHeads(t *testing.T) {
	t.Parallel()
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		large := func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor == 2 {
				return
			}
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = io.WriteString(c, filled("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close"))
			_ = c.Close()
		}
		p := newPath(t, spec{on: g, transport: over, http: true, b: pods(newPod(t, g, near, fails(503))), c: pods(newPod(t, g, abroad, large))})
		for range 3 {
			conn, err := g.dial(t.Context(), p.service)
			must(t, err)
			_, err = io.WriteString(conn, filled("GET / HTTP/1.1", "Host: shop"))
			must(t, err)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			must(t, err)
			if resp.StatusCode != http.StatusOK || len(resp.Header) < headFields-10 {
				t.Errorf("%s with %d fields", resp.Status, len(resp.Header))
			}
			must(t, resp.Body.Close())
			must(t, conn.Close())
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.service.String()+"/", http.NoBody)
		must(t, err)
		for i := range headFields - 1 { // beside User-Agent
			req.Header.Set(fmt.Sprintf("X-%d", i), "a")
		}
		resp, err := p.client(true).Do(req)
		must(t, err)
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("HTTP/2: %s", resp.Status)
		}
	})
}
