package route

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// entry is one match of a rule, for one hostname of one listener.
type entry struct {
	rule    *rule
	kind    pathKind
	path    string      // for exact and prefix; a prefix has no final slash
	regex   *pattern    // for regular
	method  string      // empty: any
	headers []condition // names are canonical
	queries []condition
	grpc    bool // calls of gRPC alone
	index   int  // of the match in its rule
}

// pathKind is how an entry matches paths; the order is that of precedence. Gateway API leaves open where regular expressions come. They
// come before the prefix "/", the default, which says nothing about the path: behind it, they would match nothing.
type pathKind uint8

const (
	exact pathKind = iota
	prefix
	regular
	root
)

// condition is that a header or query parameter has a value.
type condition struct {
	name  string
	value string
	regex *pattern // nil: exactly value
}

// holds for a value. One that is too long for a regular expression decides that the query is: it may be there to keep requests out.
func (c *condition) holds(q *query, value string) bool {
	if c.regex == nil {
		return c.value == value
	}
	if len(value) > maxRegexInput {
		q.long = true
		return false
	}
	return c.regex.MatchString(value)
}

// compare orders entries of one hostname by precedence. The order is total: two entries that are equal are one.
func compare(a, b *entry) int {
	has := func(method string) int { return min(len(method), 1) }
	return cmp.Or(
		cmp.Compare(a.kind, b.kind),
		cmp.Compare(len(b.path), len(a.path))*prefixOnly(a.kind),
		cmp.Compare(has(b.method), has(a.method)),
		cmp.Compare(len(b.headers), len(a.headers)),
		cmp.Compare(len(b.queries), len(a.queries)),
		older(a.rule.created, b.rule.created),
		strings.Compare(a.rule.id.Route.Namespace+"/"+a.rule.id.Route.Name, b.rule.id.Route.Namespace+"/"+b.rule.id.Route.Name),
		strings.Compare(a.rule.id.Kind, b.rule.id.Kind),
		cmp.Compare(a.rule.id.Index, b.rule.id.Index),
		cmp.Compare(a.index, b.index),
	)
}

func prefixOnly(kind pathKind) int {
	if kind == prefix {
		return 1
	}
	return 0
}

// older puts the earlier time first; unknown ones come last.
func older(a, b time.Time) int {
	return cmp.Or(cmp.Compare(unknown(a), unknown(b)), a.Compare(b))
}

func unknown(t time.Time) int {
	if t.IsZero() {
		return 1
	}
	return 0
}

// index finds the first entry that matches a request, without looking at all of them.
type index struct {
	exact    map[string][]*entry
	prefixes map[string][]*entry
	longest  int // prefix
	regular  []*entry
	root     []*entry
}

func newIndex(entries []*entry) *index {
	slices.SortFunc(entries, compare)
	x := &index{exact: make(map[string][]*entry), prefixes: make(map[string][]*entry)}
	for _, e := range entries {
		switch e.kind {
		case exact:
			x.exact[e.path] = append(x.exact[e.path], e)
		case prefix:
			x.prefixes[e.path] = append(x.prefixes[e.path], e)
			x.longest = max(x.longest, len(e.path))
		case regular:
			x.regular = append(x.regular, e)
		case root:
			x.root = append(x.root, e)
		}
	}
	return x
}

func (x *index) find(q *query) *entry {
	if e := q.first(x.exact[q.path]); e != nil {
		return e
	}
	// A prefix ends where an element does: before a slash, or at the end of the path.
	for end := min(len(q.path), x.longest); end > 0 && len(x.prefixes) > 0; end-- {
		if end < len(q.path) && q.path[end] != '/' {
			continue
		}
		if e := q.first(x.prefixes[q.path[:end]]); e != nil {
			return e
		}
	}
	for _, e := range x.regular {
		if e.regex.MatchString(q.path) && q.matches(e) {
			return e
		}
	}
	return q.first(x.root)
}

// query is a request that is being matched.
type query struct {
	r      *http.Request
	came   string // the path, normal
	path   string // what is matched: without "//"
	params url.Values
	long   bool // a value is too long to be matched
}

func (q *query) first(entries []*entry) *entry {
	for _, e := range entries {
		if q.matches(e) {
			return e
		}
	}
	return nil
}

// matches: all but the path of the entry matches.
func (q *query) matches(e *entry) bool {
	if e.method != "" && e.method != q.r.Method || e.grpc && !IsCall(q.r) {
		return false
	}
	for i := range e.headers {
		if value, ok := q.header(e.headers[i].name); !ok || !e.headers[i].holds(q, value) {
			return false
		}
	}
	for i := range e.queries {
		if value, ok := q.param(e.queries[i].name); !ok || !e.queries[i].holds(q, value) {
			return false
		}
	}
	return true
}

// header is the value of a header, the lines of one that is repeated joined by commas (RFC 9110, 5.2).
func (q *query) header(name string) (string, bool) {
	if name == "Host" {
		return q.r.Host, true
	}
	values := q.r.Header[name]
	if len(values) == 1 {
		return values[0], true
	}
	return strings.Join(values, ","), len(values) > 0
}

// param is the first value of a query parameter.
func (q *query) param(name string) (string, bool) {
	if q.params == nil {
		q.params, _ = url.ParseQuery(q.r.URL.RawQuery) // all that can be read
	}
	values := q.params[name]
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}
