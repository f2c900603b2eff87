package h1

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// A head that comes in parts is kept in a buffer, which is bounded, and an idle connection does not keep a large one.
func TestBuffer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ size, largest, kept int }{
		{60, firstBuffer, firstBuffer},
		{3 << 10, 4 << 10, 4 << 10},
		{50 << 10, 64 << 10, 0},
	} {
		const start, end = "GET / HTTP/1.1\r\nHost: a\r\nA: ", "\r\n\r\n"
		head := start + strings.Repeat("b", c.size-len(start)-len(end)) + end
		r := NewReader(iotest.OneByteReader(strings.NewReader(head)), Limits{})
		if n, err := r.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Fatalf("Read = %d, %v", n, err)
		}
		largest := cap(r.buf)
		if rest, err := io.ReadAll(r); len(rest) != c.size-1 || err != nil {
			t.Fatalf("%d bytes, %v", len(rest), err)
		}
		if largest != c.largest || cap(r.buf) != c.kept {
			t.Errorf("a head of %d bytes: a buffer of %d bytes, %d kept; want %d, %d", c.size, largest, cap(r.buf), c.largest, c.kept)
		}
	}
}
