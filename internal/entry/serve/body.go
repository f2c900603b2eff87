package serve

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// body is a request's: it bounds how slowly it may arrive, and remembers why it ended early.
type body struct {
	io.ReadCloser

	control *http.ResponseController
	pace    bodyPace // of the goroutine that reads

	mu    sync.Mutex
	got   int64
	err   error
	ended bool // the request is over: the connection is not this body's any more
}

func newBody(w http.ResponseWriter, r *http.Request) *body {
	return &body{ReadCloser: r.Body, control: http.NewResponseController(w), pace: bodyPace{streams: isGRPC(r)}}
}

// isGRPC is true for a call of gRPC, whose messages may come at any time.
func isGRPC(r *http.Request) bool {
	return r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	began := time.Now()
	if d := b.pace.patience(); d != 0 {
		b.deadline(began.Add(d))
	}
	n, err := b.ReadCloser.Read(p)
	b.pace.read(n, time.Since(began))
	if err != nil {
		b.deadline(time.Time{})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got += int64(n)
	if err != nil && !errors.Is(err, io.EOF) && b.err == nil {
		b.err = err
	}
	return n, err
}

func (b *body) deadline(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		_ = b.control.SetReadDeadline(t)
	}
}

// end is called when the request is over. A client may still be sending then.
func (b *body) end() (got int64) {
	b.deadline(time.Now().Add(bodyIdle))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	return b.got
}

// failure is why reading it failed; nil: it did not.
func (b *body) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}
