package relay

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/internal/bubble"
)

// fakeEnd is an End in memory for tests of time.
type fakeEnd struct {
	in      chan []byte // what it sends; closed: a clean end
	stalled bool        // takes nothing
	aborted chan struct{}
	once    sync.Once
	broken  chan struct{}
	ended   chan struct{} // CloseWrite was called
}

func newFakeEnd() *fakeEnd {
	return &fakeEnd{
		in: make(chan []byte), aborted: make(chan struct{}), broken: make(chan struct{}), ended: make(chan struct{}),
	}
}

func (f *fakeEnd) Read(p []byte) (int, error) {
	select {
	case b, ok := <-f.in:
		if !ok {
			return 0, io.EOF
		}
		return copy(p, b), nil
	case <-f.aborted:
		return 0, net.ErrClosed
	}
}

func (f *fakeEnd) Write(p []byte) (int, error) {
	if f.stalled {
		<-f.aborted
		return 0, net.ErrClosed
	}
	return len(p), nil
}

func (f *fakeEnd) CloseWrite() error                 { close(f.ended); return nil }
func (f *fakeEnd) Abort(string)                      { f.once.Do(func() { close(f.aborted) }) }
func (f *fakeEnd) Broken() <-chan struct{}           { return f.broken }
func (f *fakeEnd) readBuffer(b *buffer) (int, error) { return f.Read(b.acquire()) }
func (*fakeEnd) flush()                              {}
func (*fakeEnd) release()                            {}

func TestHalfClosedIdleIsReaped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := newFakeEnd(), newFakeEnd()
		done := make(chan Result)
		go func() { done <- Run(t.Context(), client, server, nil, 0) }()
		close(client.in)
		<-server.ended
		start := time.Now()
		bubble.Pass(HalfClosedIdle - time.Minute)
		server.in <- []byte("late, but alive")
		res := <-done
		if res.How != Idle || time.Since(start) < 2*HalfClosedIdle-time.Minute {
			t.Errorf("%v after %v", res, time.Since(start))
		}
	})
}

// TestIdleTimeout: bytes of either direction keep a connection; without any it ends after its time, and a quarter more at most.
func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	const limit = time.Minute
	for name, halfClosed := range map[string]bool{"open": false, "half-closed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, server := newFakeEnd(), newFakeEnd()
				done := make(chan Result)
				go func() { done <- Run(t.Context(), client, server, nil, limit) }()
				if halfClosed {
					close(client.in)
					<-server.ended
				}
				for range 10 {
					bubble.Pass(limit - limit/idleSteps - time.Second)
					server.in <- []byte("alive")
				}
				last := time.Now()
				res := <-done
				if took := time.Since(last); res.How != Idle || took < limit || took > limit+limit/idleSteps {
					t.Errorf("%v after %v", res, took)
				}
			})
		})
	}
}

func TestIdleIsNotReapedWhileOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := newFakeEnd(), newFakeEnd()
		done := make(chan Result)
		go func() { done <- Run(t.Context(), client, server, nil, 0) }()
		bubble.Pass(100 * HalfClosedIdle)
		close(client.in)
		close(server.in)
		if res := <-done; res.How != Closed {
			t.Errorf("%v", res)
		}
	})
}

func TestBrokenEndIsHeardOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := newFakeEnd(), newFakeEnd()
		done := make(chan Result)
		go func() { done <- Run(t.Context(), client, server, nil, 0) }()
		close(server.broken)
		for range 10 { // what it had sent still comes, slowly
			bubble.Pass(graceStep / 2)
			server.in <- []byte("data")
		}
		start := time.Now()
		res := <-done
		if res.How != Reset || res.By != Server || res.Down != 40 {
			t.Errorf("%+v", res)
		}
		if waited := time.Since(start); waited > 2*graceStep {
			t.Errorf("waited %v for an end that sends nothing", waited)
		}
	})
}

func TestGraceIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := newFakeEnd(), newFakeEnd()
		done := make(chan Result)
		go func() { done <- Run(t.Context(), client, server, nil, 0) }()
		start := time.Now()
		close(server.broken)
		for {
			select {
			case <-time.After(graceStep / 3):
				select {
				case server.in <- []byte("x"):
				case <-server.aborted:
				}
				continue
			case res := <-done:
				if res.How != Reset || time.Since(start) > graceMax+2*graceStep {
					t.Errorf("%v after %v", res, time.Since(start))
				}
			}
			return
		}
	})
}

func TestStalledReaderLearnsOfTheReset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := newFakeEnd(), newFakeEnd()
		client.stalled = true
		done := make(chan Result)
		go func() { done <- Run(t.Context(), client, server, nil, 0) }()
		server.in <- []byte("never read")
		close(server.broken)
		if res := <-done; res.How != Reset || res.By != Server {
			t.Errorf("%+v", res)
		}
	})
}

func TestCleanEndOfABrokenSideIsNoCleanEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := newFakeEnd(), newFakeEnd()
		done := make(chan Result)
		go func() { done <- Run(t.Context(), client, server, nil, 0) }()
		close(server.broken)
		synctest.Wait()
		close(server.in)
		res := <-done
		if res.How != Reset || !errors.Is(res.Err, nil) {
			t.Errorf("%+v", res)
		}
		<-client.aborted
	})
}
