package interop

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const (
	// authority is what curl calls, whatever it connects to.
	authority = "echo.example"
	// large is the length of a body that fills every window and buffer on its way, in bytes.
	large = 8<<20 + 1
)

// curlVersions are the versions of HTTP that curl speaks.
func curlVersions() []string { return []string{"--http1.0", "--http1.1", "--http2-prior-knowledge"} }

// call is one run of curl.
type call struct {
	name   string
	target string   // default "/"
	args   []string // beside those of all calls
	input  string
	not    string // the version that does not have it, or for which curl itself fails
}

func calls(largeFile string) []call {
	all := []call{
		{name: "GET"},
		{name: "HEAD", args: []string{"--head"}},
		{name: "POST", args: []string{"--data", "a=b"}},
		{name: "PUT", args: []string{"--request", "PUT", "--data-binary", "@-"}, input: "line\r\n\x00\xff"},
		{name: "DELETE", args: []string{"--request", "DELETE"}},
		{name: "DELETE with a body", args: []string{"--request", "DELETE", "--data", "x"}},
		{name: "OPTIONS", args: []string{"--request", "OPTIONS"}},
		{name: "OPTIONS of the server", args: []string{"--request", "OPTIONS", "--request-target", "*"}},
		{name: "PATCH", args: []string{"--request", "PATCH", "--json", `{"a": 1}`}},
		{name: "TRACE", args: []string{"--request", "TRACE"}},
		{name: "own method", args: []string{"--request", "BREW-TEA"}},
		{name: "empty body", args: []string{"--request", "POST", "--data", ""}},
		{name: "GET with a body", args: []string{"--request", "GET", "--data", "x"}},

		{name: "upload", args: []string{"--upload-file", largeFile}}, // curl adds "Expect: 100-continue"
		{name: "upload in chunks", args: []string{"--upload-file", "-"}, input: strings.Repeat("some of it\n", 10_000), not: "--http1.0"},
		{name: "expectation", args: []string{"--header", "Expect: 100-continue", "--data", "x"}, not: "--http1.0"},
		{name: "download", target: fmt.Sprintf("/file/%d", large)},
		{name: "range", target: "/file/100000", args: []string{"--range", "1000-1999"}},
		{name: "end", target: "/file/100000", args: []string{"--range", "-500"}},
		{name: "no such range", target: "/file/1000", args: []string{"--range", "2000-"}},
		{name: "unchanged", target: "/file/1000", args: []string{"--header", `If-None-Match: "1000"`}},

		{name: "close", args: []string{"--header", "Connection: close"}},
		{name: "twice", target: "/file/10 http://" + authority + "/file/20", not: "--http2-prior-knowledge"}, // curl 7.88 calls it a framing error
		{name: "no user agent", args: []string{"--header", "User-Agent:"}},
		{name: "fields", args: []string{"--header", "X-Empty;", "--header", "x-b: \xc3\xa4", "--header", "X-B: 2", "--cookie", "a=b; c=d"}},
		{name: "trailers wanted", args: []string{"--header", "TE: trailers"}},
		{name: "odd target", target: "//a/../b%2Fc;d=e/%00?x=%zz&y={}|&&z=100%", args: []string{"--path-as-is"}},
		{name: "only a query", target: "?a=b"},
	}
	for _, code := range []int{201, 204, 304, 404, 418, 500, 599} {
		all = append(all, call{name: fmt.Sprint("status ", code), target: fmt.Sprint("/?status=", code)})
	}
	return all
}

// testCurl compares what curl gets through Eastway with what the endpoint itself answers.
func testCurl(t *testing.T, s service, versions ...string) {
	curl := program(t, "curl", "curl")
	largeFile := filepath.Join(t.TempDir(), "large")
	must(t, os.WriteFile(largeFile, pattern(large), 0o600))
	for _, version := range versions {
		for _, c := range calls(largeFile) {
			if version == c.not {
				continue
			}
			t.Run(strings.TrimPrefix(version, "--")+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				want, got := c.run(t, curl, version, s.endpoint), c.run(t, curl, version, s.near)
				want.allow(version)
				got.allow(version)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("through Eastway:\n%s\nfrom the endpoint:\n%s", got, want)
				}
			})
		}
	}
}

// curlAnswer is what curl prints of an answer.
type curlAnswer struct {
	heads string // and trailers
	body  string // its hash, if it is no seen
	seen  *seen
}

func (a *curlAnswer) String() string {
	return fmt.Sprintf("%s\n%s %+v", a.heads, a.body, a.seen)
}

func (c *call) run(t *testing.T, curl, version, address string) *curlAnswer {
	t.Helper()
	dir := t.TempDir()
	body := filepath.Join(dir, "body")
	host, port, err := net.SplitHostPort(address)
	must(t, err)
	args := []string{
		version, "--silent", "--show-error", "--globoff", "--noproxy", "*", "--max-time", fmt.Sprint(patience.Seconds() / 2),
		"--connect-to", authority + ":80:" + host + ":" + port, "--dump-header", "-", "--output", body,
	}
	target := c.target
	if target == "" {
		target = "/"
	}
	for i, url := range strings.Fields("http://" + authority + target) {
		if i > 0 {
			args = append(args, "--output", body)
		}
		args = append(args, url)
	}
	a := &curlAnswer{heads: output(t, c.input, curl, append(args, c.args...)...)}
	text, err := os.ReadFile(body)
	if os.IsNotExist(err) || slices.Contains(c.args, "--head") { // there is none, or the head once more
		return a
	}
	must(t, err)
	if json.Unmarshal(text, &a.seen) != nil {
		a.body = fmt.Sprintf("%d bytes: %x", len(text), sha256.Sum256(text))
	}
	return a
}

// allow removes what may differ. Of the answer: the date, and the order of its fields. Of what the endpoint sees: fields of one
// connection (RFC 9110 section 7.6.1), and HTTP/1.0 requests become HTTP/1.1.
func (a *curlAnswer) allow(version string) {
	var heads []string
	for head := range strings.SplitSeq(a.heads, "\r\n\r\n") {
		lines := slices.DeleteFunc(strings.Split(head, "\r\n"), func(line string) bool {
			return strings.HasPrefix(strings.ToLower(line), "date:")
		})
		slices.Sort(lines)
		heads = append(heads, strings.Join(lines, "\n"))
	}
	a.heads = strings.Join(heads, "\n\n")
	if a.seen != nil {
		a.seen.Header.Del("Connection")
		if version == "--http1.0" {
			a.seen.Proto = "HTTP/1.1"
		}
	}
}
