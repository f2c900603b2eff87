package http

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"
)

var (
	errTryOver = errors.New("the try is over")
	errNotKept = errors.New("a part of the body is not kept")
)

// body is a request's body that several tries can send. One goroutine reads the client, when a try wants more than there is, so that
// a try can end while the client is silent. What was read is kept up to replayLimit, and beyond until the try has it.
type body struct {
	source  io.ReadCloser
	trailer func() http.Header // the request's trailers, valid at the end of source
	// proceed is called before the first byte is read; for "Expect: 100-continue" it answers 100. Nil: there is nothing to do.
	proceed func()
	want    chan struct{} // a token: more is wanted
	done    chan struct{} // closed when the request has ended
	once    sync.Once

	mu       sync.Mutex
	started  bool
	allowed  chan struct{} // closed when the client may be read
	changed  chan struct{} // closed and replaced when what follows changes
	kept     []byte
	start    int  // where kept begins in the body
	lost     bool // it is not all of what was read
	err      error
	trailers http.Header
}

func newBody(source io.ReadCloser, trailer func() http.Header, proceed func()) *body {
	b := &body{
		source: source, trailer: trailer, proceed: proceed,
		want: make(chan struct{}, 1), done: make(chan struct{}), allowed: make(chan struct{}), changed: make(chan struct{}),
	}
	if proceed == nil {
		close(b.allowed)
	}
	return b
}

// allow lets the client be read: the endpoint, or the time, has come to that.
func (b *body) allow() {
	b.once.Do(func() {
		if b.proceed != nil {
			b.proceed()
			close(b.allowed)
		}
	})
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

// passed is called when an answer is passed on: no other try follows, and nothing has to be kept for one.
func (b *body) passed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost = true
}

// end ends the reading. A read of the client that is under way ends with its request.
func (b *body) end() { close(b.done) }

// read reads the client as long as more is wanted.
func (b *body) read() {
	select {
	case <-b.allowed:
	case <-b.done:
		return
	}
	buf := make([]byte, readBuffer)
	for {
		select {
		case <-b.want:
		case <-b.done:
			return
		}
		n, err := b.source.Read(buf)
		b.add(buf[:n], err)
		if err != nil {
			return
		}
	}
}

func (b *body) add(p []byte, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = append(b.kept, p...)
	if b.start+len(b.kept) > replayLimit {
		b.lost = true
	}
	if err != nil {
		b.err = err
		b.trailers = b.trailer()
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// try is the body for one more try; the one before it has ended. At its end it fills trailer.
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
	// hold is closed when more may be read than is kept; nil: it may.
	hold  chan struct{}
	grant func()
}

// holdOn makes the try send no more than is kept until grant is called, so that another try can follow.
func (t *tryBody) holdOn() {
	t.hold = make(chan struct{})
	t.grant = sync.OnceFunc(func() { close(t.hold) })
}

// isHeld is true when the next part read might not be kept.
func (t *tryBody) isHeld() bool {
	if t.hold == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err == nil && t.start+len(t.kept)+readBuffer > replayLimit
}

// held waits until what is not kept may be read: that is not before the peer has an endpoint's connection, within bounds.
func (t *tryBody) held() error {
	if !t.isHeld() {
		return nil
	}
	timer := time.NewTimer(continueTimeout)
	defer timer.Stop()
	select {
	case <-t.hold:
	case <-timer.C:
		t.grant()
	case <-t.over:
		return errTryOver
	}
	return nil
}

// Close ends the try; it does not close the client's body. A Read that is under way returns.
func (t *tryBody) Close() error {
	t.once.Do(func() { close(t.over) })
	return nil
}

// Read implements io.Reader for one goroutine.
func (t *tryBody) Read(p []byte) (int, error) {
	if err := t.mayRead(); err != nil {
		return 0, err
	}
	for {
		n, changed, err := t.take(p)
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		if err := t.held(); err != nil {
			return 0, err
		}
		select {
		case t.want <- struct{}{}:
		default: // it is wanted already
		}
		select {
		case <-changed:
		case <-t.over:
			return 0, errTryOver
		}
	}
}

// mayRead waits until the client may be read, which is not before the endpoint's 100 if the client expects that.
func (t *tryBody) mayRead() error {
	select {
	case <-t.over:
		return errTryOver
	case <-t.allowed:
		return nil
	default:
	}
	timer := time.NewTimer(continueTimeout)
	defer timer.Stop()
	select {
	case <-t.allowed:
	case <-timer.C:
		t.allow()
	case <-t.over:
		return errTryOver
	}
	return nil
}

// take is what there is for the try, or how the body ended; else changed is closed when there may be more.
func (t *tryBody) take(p []byte) (n int, changed <-chan struct{}, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.over:
		return 0, nil, errTryOver
	default:
	}
	if t.pos < t.start {
		return 0, nil, errNotKept
	}
	if n = copy(p, t.kept[t.pos-t.start:]); n > 0 {
		t.pos += n
		if t.lost { // only what the try does not have yet
			t.kept = t.kept[:copy(t.kept, t.kept[t.pos-t.start:])]
			t.start = t.pos
		}
		return n, nil, nil
	}
	if t.err == nil && !t.started {
		t.started = true
		go t.read()
	}
	if errors.Is(t.err, io.EOF) {
		maps.Copy(t.trailer, t.trailers)
	}
	return 0, t.changed, t.err
}
