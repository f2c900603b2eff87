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
		b := newBody(io.NopCloser(iotest.HalfReader(strings.NewReader(sent))), noTrailer, nil)
		t.Cleanup(b.end)
		first := b.try(nil)
		got, err := io.ReadAll(io.LimitReader(first, int64(c.read)))
		if err != nil || string(got) != sent[:min(c.read, c.size)] {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		_ = first.Close()
		if _, err := first.Read(make([]byte, 1)); !errors.Is(err, errTryOver) {
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

// TestBodyWaits: a try can end while the client is silent; what comes then is the next one's, also beyond what is kept.
func TestBodyWaits(t *testing.T) {
	t.Parallel()
	for _, size := range []int{5, replayLimit + 1} {
		r, w := io.Pipe()
		b := newBody(r, noTrailer, nil)
		t.Cleanup(b.end)
		first := b.try(nil)
		ended := make(chan error)
		go func() {
			_, err := first.Read(make([]byte, 10))
			ended <- err
		}()
		_ = first.Close()
		if err := <-ended; !errors.Is(err, errTryOver) {
			t.Errorf("%v", err)
		}
		sent := strings.Repeat("x", size)
		go func() {
			_, _ = io.WriteString(w, sent)
			_ = w.Close()
		}()
		if got, err := io.ReadAll(b.try(nil)); err != nil || string(got) != sent {
			t.Errorf("%d of %d bytes, %v", len(got), size, err)
		}
	}
}

// TestBodyIsWhole: a try does not get a body of which a part is lost.
func TestBodyIsWhole(t *testing.T) {
	t.Parallel()
	b := newBody(io.NopCloser(strings.NewReader(strings.Repeat("x", 2*replayLimit))), noTrailer, nil)
	t.Cleanup(b.end)
	first := b.try(nil)
	if _, err := io.CopyN(io.Discard, first, replayLimit+1); err != nil {
		t.Fatal(err)
	}
	_ = first.Close()
	if n, err := io.Copy(io.Discard, b.try(nil)); n > 0 || !errors.Is(err, errNotKept) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// TestBodyExpects: the client is read only when the endpoint wants the body.
func TestBodyExpects(t *testing.T) {
	t.Parallel()
	proceeded := 0
	b := newBody(io.NopCloser(strings.NewReader("hello")), noTrailer, func() { proceeded++ })
	t.Cleanup(b.end)
	refused := b.try(nil)
	ended := make(chan error)
	go func() {
		_, err := refused.Read(make([]byte, 10))
		ended <- err
	}()
	_ = refused.Close()
	if err := <-ended; !errors.Is(err, errTryOver) || proceeded > 0 {
		t.Errorf("%v, proceeded %d times", err, proceeded)
	}
	b.allow()
	b.allow()
	if got, err := io.ReadAll(b.try(nil)); err != nil || string(got) != "hello" || proceeded != 1 {
		t.Errorf("%q, %v, proceeded %d times", got, err, proceeded)
	}
}

// TestBodyFails: the client's side breaks; no try takes that for the end.
func TestBodyFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("reset")
	b := newBody(io.NopCloser(io.MultiReader(strings.NewReader("hel"), iotest.ErrReader(broken))), noTrailer, nil)
	t.Cleanup(b.end)
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
	b := newBody(io.NopCloser(strings.NewReader("x")), func() http.Header { return http.Header{"X-Sum": {"1"}} }, nil)
	t.Cleanup(b.end)
	for range 2 {
		trailer := http.Header{"X-Sum": nil}
		if _, err := io.ReadAll(b.try(trailer)); err != nil || trailer.Get("X-Sum") != "1" {
			t.Errorf("%v, %v", trailer, err)
		}
	}
}
