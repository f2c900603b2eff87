package http

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"sync"
)

var errAttemptOver = errors.New("the try is over")

// body is a request's body that several tries can send. It keeps what was read of it, up to replayLimit. A try that is over may
// still be waiting for the client's bytes: what it gets is kept for the next one.
type body struct {
	source  io.ReadCloser
	trailer func() http.Header // the request's trailers, valid at the end of source
	turn    chan struct{}      // holds a token unless source is being read

	mu   sync.Mutex
	kept []byte
	lost bool  // more was read than is kept
	err  error // how source ended; io.EOF is a clean end
}

func newBody(source io.ReadCloser, trailer func() http.Header) *body {
	b := &body{source: source, trailer: trailer, turn: make(chan struct{}, 1)}
	b.turn <- struct{}{}
	return b
}

// replayable is true while another try can send all of the body.
func (b *body) replayable() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.lost && (b.err == nil || errors.Is(b.err, io.EOF))
}

// complete is true when all of it was read.
func (b *body) complete() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return errors.Is(b.err, io.EOF)
}

// failed is the error of the client's side, nil when there is none.
func (b *body) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if errors.Is(b.err, io.EOF) {
		return nil
	}
	return b.err
}

// try is the body for one more try. At its end it fills trailer, which the try has announced.
func (b *body) try(trailer http.Header) *tryBody {
	return &tryBody{body: b, trailer: trailer, over: make(chan struct{})}
}

// tryBody is a body as one try sends it.
type tryBody struct {
	*body
	trailer http.Header
	pos     int
	once    sync.Once
	over    chan struct{}
}

// Close ends the try; it does not close the client's body. A Read that is under way returns.
func (t *tryBody) Close() error {
	t.once.Do(func() { close(t.over) })
	return nil
}

// Read implements io.Reader for one goroutine.
func (t *tryBody) Read(p []byte) (int, error) {
	if n, err, ok := t.replay(p); ok {
		return n, err
	}
	select {
	case <-t.turn:
	case <-t.over:
		return 0, errAttemptOver
	}
	if n, err, ok := t.replay(p); ok { // what the try before this one was waiting for
		t.turn <- struct{}{}
		return n, err
	}
	n, err := t.source.Read(p)
	t.keep(p[:n], err)
	t.turn <- struct{}{}
	if n > 0 {
		err = nil // it is there for the next Read
	}
	return n, t.ended(err)
}

// replay reads what is kept, or how the body ended; ok is false when the client has to be read.
func (t *tryBody) replay(p []byte) (n int, err error, ok bool) { //nolint:revive // the error belongs to n
	select {
	case <-t.over:
		return 0, errAttemptOver, true
	default:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost {
		return 0, t.err, t.err != nil
	}
	if t.pos < len(t.kept) {
		n = copy(p, t.kept[t.pos:])
		t.pos += n
		return n, nil, true
	}
	return 0, t.ended(t.err), t.err != nil
}

// keep records what was read for later tries.
func (t *tryBody) keep(p []byte, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.err = err
	}
	if t.lost {
		return
	}
	if len(t.kept)+len(p) > replayLimit {
		t.lost, t.kept = true, nil
		return
	}
	t.kept = append(t.kept, p...)
	t.pos = len(t.kept)
}

func (t *tryBody) ended(err error) error {
	if errors.Is(err, io.EOF) {
		maps.Copy(t.trailer, t.body.trailer())
	}
	return err
}
