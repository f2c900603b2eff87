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
	f.Fuzz(func(t *testing.T, input string, seed uint64) {
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
	})
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
