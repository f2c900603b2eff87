package h1_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// request is one as the simplest parser sees it.
type request struct {
	method, target, version string
	fields                  []string // Name: value
	body                    string
	cut                     bool // the input ends in the body
	trailers                []string
}

// parse takes apart what a Reader has passed, in the most naive way: all is verified. The rest is what follows a request
// to upgrade.
func parse(t *testing.T, passed string) (requests []request, rest string) {
	t.Helper()
	for passed != "" {
		head, after, ok := strings.Cut(passed, "\r\n\r\n")
		if !ok {
			t.Fatalf("passed a part of a head: %.200q", passed)
		}
		lines := strings.Split(head, "\r\n")
		words := strings.Split(lines[0], " ")
		if len(words) != 3 {
			t.Fatalf("passed a request line %q", lines[0])
		}
		r := request{method: words[0], target: words[1], version: words[2]}
		r.fields = fields(t, lines[1:])
		passed = after
		if length := r.values("content-length"); len(length) > 0 {
			n, err := strconv.ParseInt(length[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			r.cut = n > int64(len(passed))
			n = min(n, int64(len(passed)))
			r.body, passed = passed[:n], passed[n:]
		}
		if len(r.values("transfer-encoding")) > 0 {
			passed = r.chunks(t, passed)
		}
		requests = append(requests, r)
		option := strings.ToLower(strings.Join(r.values("connection"), ","))
		protocols := strings.ToLower(strings.Join(r.values("upgrade"), ","))
		if hasElement(option, func(e string) bool { return e == "upgrade" }) && hasElement(protocols, func(e string) bool { return e != "h2c" }) &&
			r.version == "HTTP/1.1" && !r.cut {
			return requests, passed
		}
	}
	return requests, ""
}

// values of the fields of that name.
func (r *request) values(name string) (values []string) {
	for _, field := range r.fields {
		if n, value, _ := strings.Cut(field, ": "); strings.EqualFold(n, name) {
			values = append(values, value)
		}
	}
	return values
}

func hasElement(list string, is func(string) bool) bool {
	for e := range strings.SplitSeq(list, ",") {
		if e = strings.Trim(e, " \t"); e != "" && is(e) {
			return true
		}
	}
	return false
}

func fields(t *testing.T, lines []string) (all []string) {
	t.Helper()
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("passed a field %q", line)
		}
		all = append(all, fmt.Sprintf("%s: %s", name, strings.Trim(value, " \t")))
	}
	return all
}

// chunks takes off a chunked body. What a Reader passes of it may end anywhere.
func (r *request) chunks(t *testing.T, passed string) (rest string) {
	t.Helper()
	for {
		line, after, ok := strings.Cut(passed, "\r\n")
		if !ok {
			if line != "" {
				t.Fatalf("passed a part of a line between chunks: %q", line)
			}
			r.cut = true
			return ""
		}
		size, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseInt(size, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			passed = after
			break
		}
		if n >= int64(len(after)) {
			r.body, r.cut = r.body+after, true
			return ""
		}
		r.body += after[:n]
		if passed, ok = strings.CutPrefix(after[n:], "\r\n"); !ok {
			t.Fatalf("passed %q after a chunk", passed)
		}
	}
	if after, ok := strings.CutPrefix(passed, "\r\n"); ok {
		return after
	}
	section, after, ok := strings.Cut(passed, "\r\n\r\n")
	if !ok {
		if section != "" {
			t.Fatalf("passed a part of a trailer section: %q", section)
		}
		r.cut = true
		return ""
	}
	r.trailers = fields(t, strings.Split(section, "\r\n"))
	return after
}
