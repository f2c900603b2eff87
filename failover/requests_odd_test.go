package failover

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// answersRaw reads a request and writes this, in pieces of that many bytes; then it ends the connection.
func answersRaw(answer string, piece int) setup {
	return func(w *world, c *Config) {
		endpoints(endpoint(backend(w.t, func(conn *net.TCPConn) {
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
				return
			}
			for rest := answer; rest != ""; rest = rest[min(piece, len(rest)):] {
				if _, err := io.WriteString(conn, rest[:min(piece, len(rest))]); err != nil {
					return
				}
			}
			_ = conn.CloseWrite()
			_, _ = io.Copy(io.Discard, conn)
		}), here))(w, c)
	}
}

// TestOddAnswers of an endpoint; another one would serve.
func TestOddAnswers(t *testing.T) {
	t.Parallel()
	const whole = 1 << 30
	fields := strings.Repeat("X: 1\r\n", 100_000)
	for name, c := range map[string]struct {
		answer    string
		piece     int
		get, post string // how it ends for the client, by its beginning
	}{
		"byte by byte":        {"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok", 1, "200 ok", "200 ok"},
		"chunks byte by byte": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 1, "200 ok", "200 ok"},
		"half a head":         {"HTTP/1.1 200 OK\r\nContent-Le", whole, "200 far", "503 eastway: unknown-outcome"},
		"a head alone":        {"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n", whole, "200 far", "503 eastway: unknown-outcome"},
		"half a body":         {"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf", whole, "200 half ", "200 half "},
		"half the chunks":     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", whole, "200 half ", "200 half "},
		"more than it said": {
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", whole, "200 ok", "200 ok",
		},
		"no HTTP":        {"SSH-2.0-OpenSSH_9.9\r\n", whole, "200 far", "503 eastway: unknown-outcome"},
		"100,000 fields": {"HTTP/1.1 200 OK\r\n" + fields + "\r\n", whole, "200 far", "503 eastway: unknown-outcome"},
		"nothing":        {"", whole, "200 far", "503 eastway: unknown-outcome"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, overHTTP, answersRaw(c.answer, c.piece), webs(beside, says("far")))
			for range 2 { // what came too much is for no other request
				if got, _ := w.over(w.client().Transport, "GET", "/", nil); !strings.HasPrefix(got, c.get) {
					t.Errorf("GET: %q, want %q", got, c.get)
				}
			}
			w = newWorld(t, overHTTP, answersRaw(c.answer, c.piece), webs(beside, says("far")))
			if got, _ := w.over(w.client().Transport, "POST", "/", strings.NewReader("order")); !strings.HasPrefix(got, c.post) {
				t.Errorf("POST: %q, want %q", got, c.post)
			}
			w.nothingInFlight()
		})
	}
}

// TestLongHeader: 61 KiB are refused before any endpoint sees them.
func TestLongHeader(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	w := newWorld(t, overHTTP, webs(here, counting(&n, says("ok"))))
	for size, want := range map[int]int{50 << 10: 200, 61 << 10: 431} {
		c := w.dial()
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop\r\nX-Long: "+strings.Repeat("x", size)+"\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil) //nolint:bodyclose // the connection is closed
		if err != nil || resp.StatusCode != want {
			t.Errorf("%d bytes: %v, %v, want %d", size, resp, err, want)
		}
	}
	if n.Load() != 1 {
		t.Errorf("the endpoint got %d requests", n.Load())
	}
}

// TestErrorAfterMessages: a stream of 1000 messages arrives whole, and so does the gRPC status behind it.
func TestErrorAfterMessages(t *testing.T) {
	t.Parallel()
	const messages = 1000
	w := newWorld(t, overHTTP, webs(here, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		for range messages {
			_, _ = w.Write([]byte{0, 0, 0, 0, 1, 'x'})
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "13")
	}))
	got, trailer := w.over(w.h2client(), "POST", "/", strings.NewReader("call"))
	if want := "200 " + strings.Repeat("\x00\x00\x00\x00\x01x", messages); got != want || trailer.Get("Grpc-Status") != "13" {
		t.Errorf("%d bytes, %v", len(got), trailer)
	}
}
