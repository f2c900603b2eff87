package h1_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/eastway/eastway/failover/http/h1"
)

// endless yields a text again and again.
type endless struct {
	text string
	at   int
	// whole: no read yields more than the rest of one text, as the requests of a client come that waits for answers.
	whole bool
}

func (e *endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		k := copy(p[n:], e.text[e.at:])
		n, e.at = n+k, (e.at+k)%len(e.text)
		if e.whole {
			break
		}
	}
	return n, nil
}

// discard reads size bytes.
func discard(b *testing.B, r io.Reader, p []byte, size int) {
	for size > 0 {
		n, err := r.Read(p[:min(len(p), size)])
		if err != nil {
			b.Fatal(err)
		}
		size -= n
	}
}

// BenchmarkHead: a GET of 1 KiB, read as net/http's server does.
func BenchmarkHead(b *testing.B) {
	var head strings.Builder
	head.WriteString("GET /api/v1/items?page=17 HTTP/1.1\r\nHost: items.shop.svc.cluster.local\r\n")
	for i := 0; head.Len() < 960; i++ {
		fmt.Fprintf(&head, "X-Field-%d: %s\r\n", i, strings.Repeat("v", 40))
	}
	fmt.Fprintf(&head, "X-Last: %s\r\n\r\n", strings.Repeat("v", 1024-head.Len()-len("X-Last: \r\n\r\n")))
	for name, whole := range map[string]bool{"whole": true, "pipelined": false} {
		b.Run(name, func(b *testing.B) {
			r := h1.NewReader(&endless{text: head.String(), whole: whole}, h1.Limits{})
			p := make([]byte, 4096)
			b.SetBytes(int64(head.Len()))
			b.ReportAllocs()
			for b.Loop() {
				discard(b, r, p, head.Len())
			}
		})
	}
}

// BenchmarkBody: a body of 64 MiB, read by 32 KiB; chunks have 8 KiB.
func BenchmarkBody(b *testing.B) {
	const size = 64 << 20
	const head = "POST / HTTP/1.1\r\nHost: a\r\n"
	chunk := "2000\r\n" + strings.Repeat("x", 8<<10) + "\r\n"
	for _, c := range []struct{ name, head, body string }{
		{"length", head + "Content-Length: 9000000000000000000\r\n\r\n", strings.Repeat("x", 64<<10)},
		{"chunked", head + "Transfer-Encoding: chunked\r\n\r\n", chunk},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := make([]byte, 32<<10)
			src := &endless{text: c.body}
			r := h1.NewReader(io.MultiReader(strings.NewReader(c.head), src), h1.Limits{})
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				discard(b, r, p, size)
			}
		})
	}
	b.Run("unverified", func(b *testing.B) { // for comparison
		p := make([]byte, 32<<10)
		b.SetBytes(size)
		for b.Loop() {
			discard(b, &endless{text: chunk}, p, size)
		}
	})
}

// A large body costs no allocation, and neither does a head that comes whole.
func TestAllocations(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, c := range map[string]struct {
		head string
		src  endless
	}{
		"heads":   {"", endless{text: get, whole: true}},
		"length":  {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000000000000000\r\n\r\n", endless{text: get}},
		"chunked": {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", endless{text: "1b\r\n" + get + "\r\n"}},
	} {
		r := h1.NewReader(io.MultiReader(strings.NewReader(c.head), &c.src), h1.Limits{})
		p := make([]byte, 4096)
		read := func() {
			for n := 0; n < 64<<10; {
				got, err := r.Read(p)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				n += got
			}
		}
		read()
		if allocations := testing.AllocsPerRun(10, read); allocations != 0 {
			t.Errorf("%s: %v allocations", name, allocations)
		}
	}
}
