package kubecli

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

func TestDialPod(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(backend.Close)
	for name, onlySPDY := range map[string]bool{"WebSocket": false, "SPDY": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.OnlySPDY = onlySPDY
			s.Forward("p", 15000, backend.Listener.Addr().String())
			c := open(t, "east", s)
			conn, err := c.DialPod(t.Context(), "ns", "p", 15000)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			body := strings.Repeat("eastway ", 20_000)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://p/", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Close = true
			go func() { _ = req.Write(conn) }()
			answer, err := io.ReadAll(conn)
			if err != nil || !strings.HasSuffix(string(answer), body[:1000]) && !strings.Contains(string(answer), body[:1000]) {
				t.Errorf("%d bytes, %v", len(answer), err)
			}
			if conn.RemoteAddr().String() != "p:15000" || conn.LocalAddr().Network() != "pod" {
				t.Errorf("addresses %s, %s", conn.RemoteAddr(), conn.LocalAddr())
			}
		})
	}
}

func TestDialPodFails(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, "east", s)
	conn, err := c.DialPod(t.Context(), "ns", "p", 7)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("a port on which nobody listens: %v", err)
	}

	// A WebSocket takes the right to get, SPDY the one to create: one of them is enough.
	for _, missing := range []string{"get", "create"} {
		half := newServer(t)
		half.Forbid(missing, "pods/portforward")
		conn, err := open(t, "east", half).DialPod(t.Context(), "ns", "p", 7)
		if err != nil {
			t.Fatalf("without the right to %s: %v", missing, err)
		}
		conn.Close()
		s.Forbid(missing, "pods/portforward")
	}
	_, err = c.DialPod(t.Context(), "ns", "p", 7)
	is(t, err, ErrForbidden, "it takes the right to create pods/portforward")
}

func TestDialPodDeadline(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	s := newServer(t)
	s.Forward("p", 53, silent.Addr().String())
	conn, err := open(t, "east", s).DialPod(t.Context(), "ns", "p", 53)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
