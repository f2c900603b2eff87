package serve

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/entry/route"
)

// deadlines is an answer that takes as long as it is made to, and notes the deadlines of its writes.
type deadlines struct {
	*httptest.ResponseRecorder

	blocked chan struct{} // nil: reads and writes don't wait
	set     []time.Time
}

// Read is that of a request's body.
func (d *deadlines) Read(p []byte) (int, error) {
	if d.blocked != nil {
		<-d.blocked
		return 0, os.ErrDeadlineExceeded
	}
	return len(p), nil
}

func (*deadlines) Close() error { return nil }

// SetReadDeadline is for http.ResponseController, as SetWriteDeadline is.
func (d *deadlines) SetReadDeadline(t time.Time) error { return d.SetWriteDeadline(t) }

func (d *deadlines) Write(p []byte) (int, error) {
	if d.blocked != nil {
		<-d.blocked
	}
	return d.ResponseRecorder.Write(p)
}

// SetWriteDeadline is for http.ResponseController.
func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.set = append(d.set, t)
	if d.blocked != nil && !t.IsZero() && t.Before(time.Now()) {
		close(d.blocked)
	}
	return nil
}

// An answer over HTTP/2 may pause for as long as it likes; a client that does not read what is written loses its stream.
func TestStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.ProtoMajor = 2
		e := &exchange{r: r, front: &front{}, server: &Server{}, decision: route.Decision{}}
		e.front.strict = nil
		w := &writer{ResponseWriter: out, e: e, control: http.NewResponseController(out)}
		for range 3 {
			_, _ = w.Write([]byte("a"))
			_ = w.FlushError()
			bubble.Pass(10 * bodyIdle)
		}
		if len(out.set) != 0 || w.slow() {
			t.Errorf("an answer that pauses has the deadlines %v", out.set)
		}
		out.blocked = make(chan struct{})
		began := time.Now()
		_, _ = w.Write([]byte("b"))
		if waited := time.Since(began); waited != bodyIdle || len(out.set) != 1 || !w.slow() {
			t.Errorf("a client that does not read: after %v, deadlines %v", waited, out.set)
		}
		r.ProtoMajor = 1
		out.blocked = nil
		if _, _ = w.Write([]byte("c")); len(out.set) != 2 || time.Until(out.set[1]) != bodyIdle {
			t.Errorf("HTTP/1.1: deadlines %v", out.set)
		}
	})
}

// The body of a request over HTTP/2 may wait for its backend for as long as that likes; a client that does not send it is late.
func TestStalledBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest(http.MethodPost, "/", out)
		r.ProtoMajor = 2
		b := newBody(out, r)
		b.ReadCloser = out
		for range 3 {
			if n, err := b.Read(make([]byte, 10)); n != 10 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			bubble.Pass(10 * bodyIdle)
		}
		if len(out.set) != 0 {
			t.Errorf("a body that waits for its backend has the deadlines %v", out.set)
		}
		out.blocked = make(chan struct{})
		began := time.Now()
		_, err := b.Read(make([]byte, 10))
		if waited := time.Since(began); waited != bodyIdle || !errors.Is(err, os.ErrDeadlineExceeded) || b.failure() == nil {
			t.Errorf("a client that does not send: after %v, %v", waited, err)
		}
		b.end()
		b.expireRead() // nothing is touched any more
		if last := out.set[len(out.set)-1]; !last.After(time.Now()) {
			t.Errorf("deadlines %v", out.set)
		}
	})
}
