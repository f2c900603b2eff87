package http

import (
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/eastway/eastway/failover/dial"
)

var errWrite = errors.New("write failed")

// failingStream may have sent a part.
type failingStream struct{ dial.Stream }

func (failingStream) Write([]byte) (int, error) { return 0, errWrite }

// failingConn has sent nothing.
type failingConn struct{ net.Conn }

func (failingConn) Write([]byte) (int, error) { return 0, errWrite }

// TestNothingWritten: only a socket knows that a write that failed has sent nothing.
func TestNothingWritten(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		conn    net.Conn
		nothing bool
	}{
		"socket": {failingConn{}, true},
		"stream": {streamConn{failingStream{}}, false},
	} {
		w := &wire{Conn: c.conn}
		if _, err := w.Write([]byte("GET / HTTP/1.1")); !errors.Is(err, errWrite) {
			t.Errorf("%s: %v", name, err)
		}
		if nothing := w.written.Load() == 0; nothing != c.nothing {
			t.Errorf("%s: nothing written is %v", name, nothing)
		}
	}
}

func TestKeepFor(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"":                        idleTimeout,
		"timeout=5":               4 * time.Second,
		"max=10, Timeout=20":      19 * time.Second,
		"timeout=1":               0,
		"timeout=0":               0,
		"timeout=-1":              idleTimeout,
		"timeout=x":               idleTimeout,
		"timeout=300":             idleTimeout,
		"timeout=999999999999999": idleTimeout,
	} {
		h := http.Header{}
		if value != "" {
			h.Set("Keep-Alive", value)
		}
		if got := keepFor(h, idleTimeout); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}
