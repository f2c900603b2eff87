package tunnel

import (
	"testing"

	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// TestRedialDoesNotWaitForHandlers: a handler that still clears away a lost stream does not keep the tunnel down.
func TestRedialDoesNotWaitForHandlers(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	p := newPair(t, withTransport("tcp"), func(a, _ *Config) {
		a.Handle = func(in *Incoming) {
			s, err := in.Accept(&tunnelpb.Answer{})
			if err != nil {
				return
			}
			<-s.Done()
			<-release // e.g. an endpoint that reads slowly
		}
	})
	t.Cleanup(func() { close(release) })
	s, err := p.b.Open(t.Context(), "a", header(), nil)
	if err != nil {
		t.Fatal(err)
	}
	<-s.Answered()
	if err := s.Outcome(); err != nil {
		t.Fatal(err)
	}
	old := onlyLink(t, p.a)
	old.end("lost in a test")
	p.awaitUsable(t)
}
