package http

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

func noTrailer() http.Header { return nil }

func TestBodyReplay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size       int
		read       int // by the first try
		replayable bool
	}{
		"nothing read":       {100, 0, true},
		"a part":             {1000, 10, true},
		"all":                {1000, 1001, true},
		"up to the limit":    {replayLimit, replayLimit + 1, true},
		"above the limit":    {replayLimit + 1, replayLimit + 2, false},
		"a part of too much": {2 * replayLimit, replayLimit / 2, true},
	} {
		sent := strings.Repeat("0123456789", c.size/10+1)[:c.size]
		b := newBody(io.NopCloser(iotest.HalfReader(strings.NewReader(sent))), noTrailer)
		first := b.try(nil)
		got, err := io.ReadAll(io.LimitReader(first, int64(c.read)))
		if err != nil || string(got) != sent[:min(c.read, c.size)] {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		_ = first.Close()
		if _, err := first.Read(make([]byte, 1)); !errors.Is(err, errAttemptOver) {
			t.Errorf("%s: a try that is over: %v", name, err)
		}
		if b.replayable() != c.replayable {
			t.Errorf("%s: replayable is %v", name, b.replayable())
		}
		if !c.replayable {
			continue
		}
		if got, err := io.ReadAll(b.try(nil)); err != nil || string(got) != sent {
			t.Errorf("%s: again: %d bytes, %v", name, len(got), err)
		}
	}
}

// TestBodyWaits: a try that is over waits for the client's bytes; the next one gets them.
func TestBodyWaits(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	b := newBody(r, noTrailer)
	first := b.try(nil)
	reading, done := make(chan struct{}), make(chan struct{})
	b.source = struct {
		io.Reader
		io.Closer
	}{readFunc(func(p []byte) (int, error) {
		select {
		case <-reading:
		default:
			close(reading)
		}
		return r.Read(p)
	}), r}
	go func() {
		defer close(done)
		_, _ = first.Read(make([]byte, 10))
	}()
	<-reading
	_ = first.Close()
	go func() {
		_, _ = io.WriteString(w, "hello")
		_ = w.Close()
	}()
	if got, err := io.ReadAll(b.try(nil)); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	<-done
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// TestBodyFails: the client's side breaks; no try takes that for the end.
func TestBodyFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("reset")
	b := newBody(io.NopCloser(io.MultiReader(strings.NewReader("hel"), iotest.ErrReader(broken))), noTrailer)
	for range 2 {
		got, err := io.ReadAll(b.try(nil))
		if !bytes.Equal(got, []byte("hel")) || !errors.Is(err, broken) {
			t.Errorf("%q, %v", got, err)
		}
	}
	if b.replayable() || !errors.Is(b.failed(), broken) {
		t.Errorf("replayable is %v, failed %v", b.replayable(), b.failed())
	}
}

func TestBodyTrailer(t *testing.T) {
	t.Parallel()
	b := newBody(io.NopCloser(strings.NewReader("x")), func() http.Header { return http.Header{"X-Sum": {"1"}} })
	for range 2 {
		trailer := http.Header{"X-Sum": nil}
		if _, err := io.ReadAll(b.try(trailer)); err != nil || trailer.Get("X-Sum") != "1" {
			t.Errorf("%v, %v", trailer, err)
		}
	}
}
