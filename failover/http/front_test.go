package http

import (
	"context"
	"testing"
	"testing/synctest"
)

// slowEnd is a connection whose client does not follow its end.
type slowEnd struct {
	clientConn
	follow chan struct{}
}

func (c slowEnd) end(bool) { <-c.follow }

// TestCloseWaitsForNothing: net/http's server closes idle connections under the lock that each request takes.
func TestCloseWaitsForNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFront(origin{})
		c := slowEnd{follow: make(chan struct{})}
		f.clientConn = c
		f.ctx, f.cancel = context.WithCancelCause(t.Context())
		closed := false
		go func() {
			_ = f.Close()
			closed = true
		}()
		synctest.Wait()
		if !closed {
			t.Error("it waits for the client")
		}
		close(c.follow)
		f.ending.Wait()
	})
}
