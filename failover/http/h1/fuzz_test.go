package h1_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/eastway/eastway/failover/http/h1"
	"github.com/eastway/eastway/failover/http/h1/h1test"
)

// Whatever is sent: the same passes however it was split, it is the beginning of what was sent, and net/http finds the same
// requests in it as a naive parser does that trusts each byte.
func FuzzReader(f *testing.F) {
	for _, c := range h1test.Cases() {
		if len(c.Input) < 8<<10 {
			f.Add(c.Input, uint64(1))
		}
	}
	f.Fuzz(func(t *testing.T, input string, seed uint64) { agree(t, input, seed) })
}

// Connections of random pieces, most of them where they belong: closer to requests than what a fuzzer makes up.
func TestPiecesAgree(t *testing.T) {
	t.Parallel()
	const connections = 5_000
	passed := 0
	for seed := range uint64(connections) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		var input strings.Builder
		for range 1 + rnd.IntN(4) {
			pieces(&input, rnd)
		}
		passed += agree(t, input.String(), seed)
	}
	if passed < connections {
		t.Errorf("only %d requests passed", passed)
	}
}

// pieces writes about one request.
func pieces(input *strings.Builder, rnd *rand.Rand) {
	one := func(of ...string) {
		if rnd.IntN(50) == 0 { // one that does not belong there
			of = []string{
				" ", "\n", "\r", ":", "\x00", "a", "\r\n", "0\r\n\r\n", "5\r\n",
				"Host: a\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n",
			}
		}
		input.WriteString(of[rnd.IntN(len(of))])
	}
	one("", "", "", "\r\n")
	one("GET / HTTP/1.1\r\nHost: a\r\n", "POST /p?q=%z HTTP/1.1\r\nhost:a:80\r\n", "GET http://a/b%20c HTTP/1.0\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n", "HEAD HTTPS://A?b HTTP/1.1\r\nHost: a:443\r\n", "put //b HTTP/1.0\r\n")
	for range rnd.IntN(4) {
		one("Trailer: X-A\r\n", "Connection: Upgrade\r\n", "Upgrade: h2c\r\n", "Upgrade: x\r\n", "X-A: b\r\n", "X-A:\r\n", "Pragma: no-cache\r\n",
			"Expect: 100-continue\r\n", "Connection: close, x\r\n", "Cookie: \t a=b \t\r\n", "x-a:\xff:\r\n")
	}
	switch rnd.IntN(3) {
	case 0:
		one("\r\n")
	case 1:
		body := []string{"", "hello", "5\r\nhello\r\n0\r\n\r\n", "GET /body HTTP/1.1\r\nHost: a\r\n\r\n"}[rnd.IntN(4)]
		one(fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)), fmt.Sprintf("content-length:000%d \r\n\r\n", len(body)))
		one(body)
	case 2:
		one("Transfer-Encoding: chunked\r\n\r\n", "TRANSFER-encoding:  Chunked \r\n\r\n")
		for range rnd.IntN(4) {
			one("5\r\nhello\r\n", "3;a=b\r\nabc\r\n", "000C\r\n0\r\n\r\nGET / \r\r\n", "1;a;b=\"c;\\\"\"\r\n\n\r\n")
		}
		one("0\r\n", "00;x=y\r\n")
		for range rnd.IntN(3) {
			one("X-A: b\r\n", "X-B:\r\n", "x-a: \t c\r\n")
		}
		one("\r\n")
	}
}

// agree checks one input, and returns how many requests pass.
func agree(t *testing.T, input string, seed uint64) int {
	t.Helper()
	got := read(t, strings.NewReader(input), h1.Limits{}, 4096)
	rnd := rand.New(rand.NewPCG(seed, seed))
	for range 3 {
		if split := read(t, &splits{input, rnd}, h1.Limits{}, 1+rnd.IntN(300)); split != got {
			t.Fatalf("splits matter: %+v, whole: %+v", split, got)
		}
	}
	if !begins(got.passed, input) {
		t.Fatalf("passed %q", got.passed)
	}
	requests, rest := parse(t, got.passed)
	src := bufio.NewReader(strings.NewReader(got.passed))
	for i := range requests {
		if want, is := requests[i].String(), byNetHTTP(t, src); is != want {
			t.Fatalf("request %d of %q:\nnet/http: %s\nnaively:  %s", i, got.passed, is, want)
		}
	}
	if after, err := io.ReadAll(src); string(after) != rest || err != nil {
		t.Fatalf("net/http leaves %q, want %q", after, rest)
	}
	return len(requests)
}

// begins: passed is the beginning of input, except for empty lines that were skipped.
func begins(passed, input string) bool {
	for i := range len(passed) {
		if input != "" && input[0] != passed[i] {
			input, _ = strings.CutPrefix(input, "\r\n")
		}
		if input == "" || input[0] != passed[i] {
			return false
		}
		input = input[1:]
	}
	return true
}

// String has what byNetHTTP knows.
func (r request) String() string {
	host := strings.Join(r.values("Host"), "")
	if _, absolute, ok := strings.Cut(r.target, "://"); ok && r.target[0] != '/' {
		host, _, _ = strings.Cut(absolute, "/")
		host, _, _ = strings.Cut(host, "?")
	}
	all := r.fields
	if pragma := r.values("Pragma"); len(pragma) > 0 && pragma[0] == "no-cache" && len(r.values("Cache-Control")) == 0 {
		all = append(all, "Cache-Control: no-cache") // net/http makes it up
	}
	return text(r.method, r.target, r.version, host, sorted(all), r.body, sorted(r.trailers), r.cut)
}

func text(method, target, version, host string, fields []string, body string, trailers []string, cut bool) string {
	if cut {
		trailers = nil
	}
	return fmt.Sprintf("%s %s %s, host %s, fields %q, body %q, trailers %q, cut %v", method, target, version, host, fields, body, trailers, cut)
}

// framing are fields that net/http does not keep among the others; parse has used them.
var framing = []string{"Host", "Transfer-Encoding", "Trailer"}

// sorted are fields with canonical names, in one order.
func sorted(fields []string) (all []string) {
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		if name = http.CanonicalHeaderKey(name); !slices.Contains(framing, name) {
			all = append(all, name+": "+value)
		}
	}
	slices.Sort(all)
	return all
}

// byNetHTTP reads a request.
func byNetHTTP(t *testing.T, src *bufio.Reader) string {
	t.Helper()
	r, err := http.ReadRequest(src)
	if err != nil {
		t.Fatalf("net/http: %v", err)
	}
	lines := func(h http.Header) (all []string) {
		for name, values := range h {
			for _, value := range values {
				all = append(all, name+": "+value)
			}
		}
		return sorted(all)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !strings.Contains(err.Error(), "EOF reading trailer") {
		t.Fatalf("net/http: body: %v", err)
	}
	return text(r.Method, r.RequestURI, r.Proto, r.Host, lines(r.Header), string(body), lines(r.Trailer), err != nil)
}
