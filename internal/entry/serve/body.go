package serve

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/eastway/eastway/internal/entry/route"
)

// body is a request's: it bounds how slowly it may arrive, and remembers why it ended early.
type body struct {
	io.ReadCloser

	control *http.ResponseController
	pace    bodyPace // of the goroutine that reads
	http2   bool
	stall   stall  // of HTTP/2
	whole   func() // called by it at the end of the body; nil: nothing is

	mu    sync.Mutex
	got   int64
	err   error
	eof   bool
	late  bool // the time of the request is over: nothing more is read
	ended bool // the request is over: the connection is not this body's any more
}

func newBody(w http.ResponseWriter, r *http.Request) *body {
	return &body{ReadCloser: r.Body, control: http.NewResponseController(w), http2: r.ProtoMajor == 2}
}

// isGRPC is true for a call of gRPC to a backend that has it, whose messages may come at any time.
func isGRPC(r *http.Request, to *route.Backend) bool {
	return to.Protocol == route.H2C && r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	began := time.Now()
	if d := b.pace.patience(); d != 0 {
		if b.http2 && d > 0 {
			b.stall.begin(d, b.expireRead)
		} else {
			b.deadline(began.Add(d))
		}
	}
	n, err := b.ReadCloser.Read(p)
	b.stall.end()
	b.pace.read(n, time.Since(began))
	if err != nil {
		b.deadline(time.Time{})
	}
	if errors.Is(err, io.EOF) && b.whole != nil {
		b.whole()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got += int64(n)
	b.eof = b.eof || errors.Is(err, io.EOF)
	if err != nil && !errors.Is(err, io.EOF) && b.err == nil {
		b.err = err
	}
	return n, err
}

func (b *body) expireRead() { b.deadline(time.Unix(1, 0)) }

func (b *body) deadline(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended && !b.late {
		_ = b.control.SetReadDeadline(t)
	}
}

// expire ends a read that is under way, and those to come.
func (b *body) expire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.late = true; !b.ended {
		_ = b.control.SetReadDeadline(time.Unix(1, 0))
	}
}

// end is called when the request is over. A client may still be sending then.
func (b *body) end() (got int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		_ = b.control.SetReadDeadline(time.Now().Add(bodyIdle))
	}
	b.ended = true
	return b.got
}

// isWhole is true if all of it was read.
func (b *body) isWhole() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.eof
}

// failure is why reading it failed; nil: it did not.
func (b *body) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}
