package interop

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// seenHeader, in an answer, has the number of its request.
const seenHeader = "X-Seen"

// record is a request as the endpoint behind all hops has read it.
type record struct {
	number         int
	method, target string
	body           string // its length and hash
	// whole: the body did not break off.
	whole bool
	// again: Eastway has sent it once more, and says so.
	again bool
}

// frame is what two parsers must agree on.
func (r *record) frame() string {
	if !r.whole {
		return r.method + " " + r.target + " and a part of a body"
	}
	return r.method + " " + r.target + " " + r.body
}

// matches: two parsers have taken the same bytes for it. An absolute target is the same as one without the authority.
func (r *record) matches(other *record) bool {
	return r.method == other.method && path(r.target) == path(other.target) && (r.body == other.body || !r.whole || !other.whole)
}

// path of a target. Of one that begins with "//" Eastway escapes what URLs do not have.
func path(target string) string {
	rest := regexp.MustCompile(`^(?i)https?://[^/?]*`).ReplaceAllString(target, "")
	if rest != target && !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	if plain, err := url.PathUnescape(rest); err == nil && strings.HasPrefix(rest, "//") {
		return plain
	}
	return rest
}

// recorder is an endpoint that keeps what it gets, and answers with the number of the request.
type recorder struct {
	address string

	mu      sync.Mutex
	records []*record
}

func newRecorder(t *testing.T) *recorder {
	r := &recorder{}
	r.address = serve(t, r)
	return r
}

// ServeHTTP implements http.Handler.
func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	got := &record{method: req.Method, target: req.RequestURI, again: req.Header.Get("X-Eastway-Attempt") != ""}
	r.mu.Lock()
	r.records = append(r.records, got)
	got.number = len(r.records)
	r.mu.Unlock()

	hash := sha256.New()
	n, err := io.Copy(hash, req.Body)
	r.mu.Lock()
	got.whole, got.body = err == nil, fmt.Sprintf("%d bytes %x", n, hash.Sum(nil)[:4])
	r.mu.Unlock()

	number := strconv.Itoa(got.number)
	w.Header().Set(seenHeader, number)
	_, _ = io.WriteString(w, seenHeader+": "+number+"\n") // for HTTP/0.9, which has no fields
}

// since are the records after the first n, and n for the next call.
func (r *recorder) since(n int) (records []record, next int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, got := range r.records[n:] {
		records = append(records, *got)
	}
	return slices.DeleteFunc(records, func(r record) bool { return r.again }), len(r.records)
}
