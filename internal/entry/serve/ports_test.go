package serve

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/eastway/eastway/internal/entry/route"
)

// A port that leaves the table closes; its request under way goes on, and another port is not touched.
func TestTableChanges(t *testing.T) {
	t.Parallel()
	begun, release := make(chan struct{}), make(chan struct{})
	w := newWorld(t, Config{}, func(rw http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-release
		_, _ = io.WriteString(rw, "ok")
	})
	w.apply(w.toBackend(route.HTTP1), &route.Listener{})
	slow := make(chan string, 1)
	go func() { slow <- raw(t, w.address(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") }()
	<-begun
	if err := w.Apply(t.Context(), &fake{}); err != nil {
		t.Error(err)
	}
	if w.Ready() == nil {
		t.Error("it is ready without a listener")
	}
	close(release)
	if got := <-slow; !strings.HasSuffix(got, "ok") {
		t.Errorf("%q", got)
	}
	taken, err := net.Listen("tcp", w.address())
	if err != nil {
		t.Fatal(err)
	}
	err = w.Apply(t.Context(), &fake{ports: []*route.Port{{Number: w.port}}, match: w.toBackend(route.HTTP1)})
	if err == nil || !strings.Contains(err.Error(), "another process has this port") || w.Ready() == nil {
		t.Errorf("a port that is taken: %v", err)
	}
	taken.Close()
	w.apply(w.toBackend(route.HTTP1), &route.Listener{})
	if err := w.Ready(); err != nil {
		t.Error(err)
	}
}

// A connection that was made to one Gateway does not go on at another that gets its port.
func TestPortChangesHands(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "ok") })
	give := func(owner types.UID) {
		p := &route.Port{Number: w.port, Owner: owner, Listeners: []*route.Listener{{}}}
		if err := w.Apply(t.Context(), &fake{ports: []*route.Port{p}, match: w.toBackend(route.HTTP1)}); err != nil {
			t.Fatal(err)
		}
	}
	give("first")
	c, err := net.Dial("tcp", w.address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answers := bufio.NewReader(c)
	call := func() error {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			return err
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return errors.Join(err, resp.Body.Close())
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	give("first")
	if err := call(); err != nil {
		t.Errorf("the same Gateway has the port: %v", err)
	}
	give("second")
	if err := call(); err == nil {
		t.Error("a connection to the first Gateway is answered by the second")
	}
	if got := raw(t, w.address(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasSuffix(got, "ok") {
		t.Errorf("a new connection: %q", got)
	}
}
