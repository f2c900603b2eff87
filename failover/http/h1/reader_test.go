package h1_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/eastway/eastway/failover/http/h1"
	"github.com/eastway/eastway/failover/http/h1/h1test"
)

// endings are what a violation in a head yields in place of the head, as the server sees it.
var endings = map[int]string{
	400: "REFUSED\r\n\r\n",
	431: "GET / HTTP/1.1\r\nRefused: 431\r\n",
}

// result is what a Reader made of a connection's bytes.
type result struct {
	passed    string // without what stands in place of a bad head
	violation h1.Violation
}

// read reads all with that size of buffer.
func read(t *testing.T, src io.Reader, l h1.Limits, size int) result {
	t.Helper()
	r := h1.NewReader(src, l)
	var passed []byte
	var err error
	for p := make([]byte, size); err == nil; {
		var n int
		n, err = r.Read(p)
		passed = append(passed, p[:n]...)
	}
	var res result
	v := r.Violation()
	if v != nil {
		res.violation = *v
	}
	switch {
	case v != nil && v.InBody:
		var got *h1.Violation
		if !errors.As(err, &got) || got != v {
			t.Errorf("the error after a violation in a body is %v", err)
		}
		if _, again := r.Read(make([]byte, 1)); !errors.Is(again, v) {
			t.Errorf("the second error is %v", again)
		}
	case v != nil:
		if !errors.Is(err, io.EOF) {
			t.Errorf("the error after a violation in a head is %v", err)
		}
		passed = bytes.TrimRight(passed, " ")
		rest, ok := bytes.CutSuffix(passed, []byte(endings[v.Status()]))
		if !ok {
			t.Errorf("%v ends in %.100q", v, passed)
		}
		passed = rest
	case !errors.Is(err, io.EOF):
		t.Errorf("without a violation the error is %v", err)
	}
	res.passed = string(passed)
	return res
}

// splits yields some bytes at a time.
type splits struct {
	rest string
	rand *rand.Rand
}

func (s *splits) Read(p []byte) (int, error) {
	if s.rest == "" {
		return 0, io.EOF
	}
	n := copy(p, s.rest[:min(len(s.rest), s.rand.IntN(1+s.rand.IntN(200)))]) // also 0
	s.rest = s.rest[n:]
	return n, nil
}

// readAll reads the same bytes in many ways, which have to give the same.
func readAll(t *testing.T, input string, l h1.Limits) result {
	t.Helper()
	want := read(t, strings.NewReader(input), l, 4096)
	same := func(how string, got result) {
		t.Helper()
		if got != want {
			t.Errorf("%s: passed %.200q, violation %+v; whole: %.200q, %+v", how, got.passed, got.violation, want.passed, want.violation)
		}
	}
	same("large buffer", read(t, strings.NewReader(input), l, 1<<20))
	same("by byte", read(t, iotest.OneByteReader(strings.NewReader(input)), l, 4096))
	same("into one byte", read(t, strings.NewReader(input), l, 1))
	same("error with data", read(t, iotest.DataErrReader(strings.NewReader(input)), l, 100))
	rnd := rand.New(rand.NewPCG(uint64(len(input)), 1))
	for range 5 {
		same("random splits", read(t, &splits{input, rnd}, l, 1+rnd.IntN(300)))
	}
	return want
}

func TestSmugglingCases(t *testing.T) {
	t.Parallel()
	met := make(map[h1.Reason]bool)
	for _, c := range h1test.Cases() {
		met[h1.Reason(c.Reason)] = true
		t.Run(c.Class+"/"+c.Name, func(t *testing.T) {
			t.Parallel()
			got := readAll(t, c.Input, h1.Limits{})
			if string(got.violation.Reason) != c.Reason {
				t.Fatalf("violation %+v, want %q", got.violation, c.Reason)
			}
			status := 0
			if c.Reason != "" && !got.violation.InBody {
				status = got.violation.Status()
			}
			if status != c.Status {
				t.Errorf("status %d, want %d", status, c.Status)
			}
			requests, rest := parse(t, got.passed)
			if len(requests) != c.Requests {
				t.Errorf("%d requests, want %d: %q", len(requests), c.Requests, got.passed)
			}
			for _, r := range requests {
				if strings.Contains(r.target, h1test.Smuggled) {
					t.Errorf("a request is smuggled: %+v", r)
				}
			}
			if c.Class != "upgrade" && rest != "" {
				t.Errorf("after the requests comes %q", rest)
			}
			if c.Reason == "" && c.Class != "empty lines" && got.passed != c.Input {
				t.Errorf("passed %.200q, want the input", got.passed)
			}
			if len(got.violation.Detail) > 150 {
				t.Errorf("the detail has %d bytes", len(got.violation.Detail))
			}
		})
	}
	for _, reason := range h1.Reasons() {
		if !met[reason] {
			t.Errorf("no case for %q", reason)
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(h1.Reasons())))) != len(h1.Reasons()) {
		t.Error("Reasons has one twice")
	}
}

// A head is passed on when it is complete, and not before: as net/http reads on an idle connection, by one byte.
func TestHeadComesWhole(t *testing.T) {
	t.Parallel()
	const head = "GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n"
	for n := range len(head) {
		// More of it comes after an error, such as that of a deadline.
		interrupted := errors.New("deadline")
		src := io.MultiReader(strings.NewReader(head[:n]), iotest.ErrReader(interrupted))
		r := h1.NewReader(src, h1.Limits{})
		if got, err := r.Read(make([]byte, 4096)); got != 0 || !errors.Is(err, interrupted) {
			t.Fatalf("%d bytes of %d: Read = %d, %v", n, len(head), got, err)
		}
	}
	src := &steps{head[:1], "", head[1:20], "", head[20:] + head}
	r := h1.NewReader(src, h1.Limits{})
	var got []byte
	interrupts := 0
	for one := make([]byte, 1); len(got) < 2*len(head); {
		n, err := r.Read(one)
		got = append(got, one[:n]...)
		if errors.Is(err, errInterrupted) {
			interrupts++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if string(got) != head+head || interrupts != 2 {
		t.Errorf("passed %q with %d interrupts", got, interrupts)
	}
}

// Data of a body waits for nothing.
func TestDataComesAtOnce(t *testing.T) {
	t.Parallel()
	const head = "POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
	src := &steps{head + "5\r\nab", "", "cd", "", "e\r", "", "\n3", "", "\r\nf", ""}
	want := []string{head + "5\r\nab", "", "cd", "", "e", "", "\r\n", "", "3\r\nf", ""}
	r := h1.NewReader(src, h1.Limits{})
	for i, p := 0, make([]byte, 4096); i < len(want); i++ {
		n, err := r.Read(p)
		if string(p[:n]) != want[i] || (err != nil) != (want[i] == "") {
			t.Fatalf("Read %d = %q, %v, want %q", i, p[:n], err, want[i])
		}
	}
}

var errInterrupted = errors.New("interrupted")

// steps are what each read returns; an empty one is an interrupt.
type steps []string

func (s *steps) Read(p []byte) (int, error) {
	if len(*s) == 0 {
		return 0, io.EOF
	}
	if (*s)[0] == "" {
		*s = (*s)[1:]
		return 0, errInterrupted
	}
	n := copy(p, (*s)[0])
	if (*s)[0] = (*s)[0][n:]; (*s)[0] == "" {
		*s = (*s)[1:]
	}
	return n, nil
}

func TestPassthrough(t *testing.T) {
	t.Parallel()
	const half, opaque = "GET /a HTTP/1.1\r\nHo", "\x00\n:"
	r := h1.NewReader(&steps{half, "", opaque}, h1.Limits{})
	if n, err := r.Read(make([]byte, 4096)); n != 0 || err == nil || r.Opaque() {
		t.Fatalf("Read = %d, %v, opaque: %v", n, err, r.Opaque())
	}
	r.Passthrough()
	got, err := io.ReadAll(r)
	if string(got) != half+opaque || err != nil || !r.Opaque() || r.Violation() != nil {
		t.Errorf("passed %q, %v, opaque: %v, violation: %v", got, err, r.Opaque(), r.Violation())
	}
}

// Passthrough after a violation does not pass on what was refused.
func TestPassthroughAfterViolation(t *testing.T) {
	t.Parallel()
	r := h1.NewReader(strings.NewReader("GET /a\r\nX-A: b\r\n\r\n"), h1.Limits{})
	p := make([]byte, 5)
	n, err := io.ReadFull(r, p)
	r.Passthrough()
	rest, restErr := io.ReadAll(r)
	if got := string(p[:n]) + string(rest); got != endings[400] || err != nil || restErr != nil {
		t.Errorf("passed %q, %v, %v", got, err, restErr)
	}
}

func TestOpaqueAfterUpgrade(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		upgrade string
		want    bool
	}{{"websocket", true}, {"h2c, websocket", true}, {"h2c", false}, {"", false}} {
		head := "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: " + c.upgrade + "\r\n\r\n"
		r := h1.NewReader(strings.NewReader(head), h1.Limits{})
		if got, err := io.ReadAll(r); string(got) != head || err != nil || r.Opaque() != c.want {
			t.Errorf("%q: passed %q, %v, opaque: %v", c.upgrade, got, err, r.Opaque())
		}
	}
}

// A server that answers before it has read the body has to know already.
func TestOpaqueBeforeTheBody(t *testing.T) {
	t.Parallel()
	const head = "POST /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 3\r\n\r\n"
	r := h1.NewReader(&steps{head[:9], head[9:], "ab", "", "c\x00"}, h1.Limits{})
	p := make([]byte, 4096)
	if n, err := r.Read(p); string(p[:n]) != head || err != nil || !r.Opaque() {
		t.Fatalf("Read = %q, %v, opaque: %v", p[:n], err, r.Opaque())
	}
	if n, err := r.Read(p); string(p[:n]) != "ab" || err != nil || !r.Opaque() {
		t.Errorf("Read = %q, %v, opaque: %v", p[:n], err, r.Opaque())
	}
}

// What a refused head asks for changes nothing for the request before it.
func TestOpaqueNotByRefusedHead(t *testing.T) {
	t.Parallel()
	const get = "GET /a HTTP/1.1\r\nHost: a\r\n"
	const bad = get + "Connection: Upgrade\r\nUpgrade: x\r\nA : b\r\n\r\n"
	for n := range len(bad) {
		r := h1.NewReader(&steps{get + "\r\n" + bad[:n], "", bad[n:]}, h1.Limits{})
		p := make([]byte, 4096)
		if _, err := r.Read(p); err != nil || r.Opaque() {
			t.Fatalf("%d bytes of the second head: %v, opaque: %v", n, err, r.Opaque())
		}
	}
}

// What a client sends as a secret is in no detail.
func TestDetailsHaveNoSecrets(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	for _, input := range []string{
		"GET /?token=" + secret + "#a HTTP/1.1\r\n\r\n",
		"GET /?token=" + secret + " " + secret + " HTTP/1.1\r\n\r\n",
		"GET /?token=" + secret + "\r\n\r\n",
		"GET / HTTP/" + secret + "\r\n\r\n",
		"GET http://user:" + secret + "@a/ HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: user:" + secret + "@a\r\n\r\n",
		"GET / HTTP/1.1\r\nAuthorization: " + secret + "\x00\r\n\r\n",
		"GET / HTTP/1.1\r\nCookie : " + secret + "\r\n\r\n",
		"GET / HTTP/1.1\r\nCookie: a=\r\n " + secret + "\r\n\r\n",
		"GET / HTTP/1.1\r\nCookie: a=\r\n" + secret + "\r\n\r\n",
		"GET / HTTP/1.1\r\nCookie: a=" + secret + "\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nCookie: " + secret + "\r\nHost: " + secret + "\r\n\r\n",
		"GET / HTTP/1.1\r\nConnection: host, " + secret + "\r\n\r\n",
	} {
		got := read(t, strings.NewReader(input), h1.Limits{}, 4096)
		if got.violation.Reason == "" || strings.Contains(got.violation.Error(), secret) {
			t.Errorf("%q: %v", input, got.violation.Error())
		}
	}
}

// What is kept of a head or a line is bounded, whatever the client sends and however it is read.
func TestLimits(t *testing.T) {
	t.Parallel()
	l := h1.Limits{HeadBytes: 100, Fields: 3, ChunkLine: 10, TrailerBytes: 20}
	const head = "GET / HTTP/1.1\r\nHost: a\r\n"
	const chunked = head + "Transfer-Encoding: chunked\r\n\r\n"
	field := func(n int) string { return "A: " + strings.Repeat("b", n-len("A: \r\n")) + "\r\n" }
	for _, c := range []struct {
		name, input string
		want        h1.Reason
	}{
		{"head", head + field(100-len(head)-2) + "\r\n", ""},
		{"head too large", head + field(100-len(head)-1) + "\r\n", h1.ReasonHeadTooLarge},
		{"head without end", "GET /" + strings.Repeat("a", 95), h1.ReasonHeadTooLarge},
		{"head that ends early", "GET /" + strings.Repeat("a", 94), ""},
		{"fields", head + "A:\r\nA:\r\n\r\n", ""},
		{"too many fields", head + "A:\r\nA:\r\nA:\r\n\r\n", h1.ReasonTooManyFields},
		{"chunk line", chunked + "00000003\r\nabc\r\n0\r\n\r\n", ""},
		{"chunk line too long", chunked + "000000003\r\nabc\r\n0\r\n\r\n", h1.ReasonChunkLine},
		{"trailer", chunked + "0\r\n" + field(18) + "\r\n", ""},
		{"trailer too large", chunked + "0\r\n" + field(19) + "\r\n", h1.ReasonTrailerTooLarge},
		{"trailer fields", chunked + "0\r\nA:\r\nA:\r\nA:\r\n\r\n", ""},
		{"too many trailer fields", chunked + "0\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n", h1.ReasonTooManyFields},
	} {
		if got := readAll(t, c.input, l); got.violation.Reason != c.want {
			t.Errorf("%s: %+v, want %q", c.name, got.violation, c.want)
		}
	}
}

// A source that returns nothing does not keep a reader busy for ever.
func TestNoProgress(t *testing.T) {
	t.Parallel()
	r := h1.NewReader(idle{}, h1.Limits{})
	if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("Read = %d, %v", n, err)
	}
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("Read into nothing = %d, %v", n, err)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// Each byte of a head is one of those that a line may have, wherever it is: words of eight bytes are judged at a time.
func TestControlBytesAreFound(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		for at := range 20 {
			value := []byte(strings.Repeat("\tx\xff", 7))
			value[at] = byte(c)
			input := fmt.Sprintf("GET / HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n", value)
			refused := read(t, strings.NewReader(input), h1.Limits{}, 4096).violation.Reason != ""
			if want := c < ' ' && c != '\t' || c == 0x7f; refused != want {
				t.Fatalf("byte 0x%02x at %d: refused: %v", c, at, refused)
			}
		}
	}
}
