package route

import (
	"fmt"
	"math/bits"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rule is what is to be done with the requests of a rule.
type rule struct {
	id      *RuleID
	created time.Time // of its route
	limits  []*Limit  // of its route
	// refusal is why no request may pass: a filter that cannot be applied must not be skipped.
	refusal  string
	cors     *cors
	redirect *redirect
	host     string // to rewrite to
	path     pathEdit
	request  []Edit
	response []Edit
	mirrors  []mirror
	targets  []target
	total    uint64 // of their weights
	timeouts Timeouts
}

// target is one of the backends of a rule.
type target struct {
	weight   uint64
	backend  *Backend // nil: refusal says why
	refusal  string
	request  []Edit // those of the rule, and its own
	response []Edit
	grpc     *Backend // for gRPC; nil if backend is
}

type mirror struct {
	backend *Backend
	of      uint64 // numerator
	outOf   uint64
}

// decide about a request that the entry matches.
func (e *entry) decide(l *Listener, q *query, host string, random uint64) Decision {
	r := e.rule
	d := Decision{Listener: l, Rule: r.id, Limits: l.limits, Response: r.response}
	if len(r.limits) > 0 {
		d.Limits = slices.Concat(l.limits, r.limits)
	}
	if r.refusal != "" {
		d.Status, d.Reason, d.Message = http.StatusInternalServerError, ReasonInvalidFilter, r.refusal
		return d
	}
	var crossOrigin []Edit
	if r.cors != nil {
		var preflight bool
		crossOrigin, preflight = r.cors.answer(q.r)
		if preflight {
			d.Kind, d.Status = Preflight, http.StatusNoContent
		}
		d.Response = slices.Concat(crossOrigin, r.response)
		if preflight {
			return d
		}
	}
	if r.redirect != nil {
		d.Kind, d.Status = Redirect, r.redirect.status
		d.Location = r.redirect.location(l, e, q, host)
		return d
	}
	t := r.pick(random)
	if t == nil || t.backend == nil {
		d.Status, d.Reason, d.Message = http.StatusInternalServerError, ReasonInvalidBackend, "the rule has no backend with a weight"
		if t != nil {
			d.Message = t.refusal
		}
		return d
	}
	if d.Status, d.Reason, d.Message = t.backend.unusable(); d.Status != 0 {
		return d
	}
	d.Kind, d.Backend, d.Timeouts, d.Host, d.Request = Forward, t.backend, r.timeouts, r.host, t.request
	d.Response = slices.Concat(crossOrigin, t.response)
	if t.grpc != nil && IsCall(q.r) {
		d.Backend = t.grpc
	}
	if r.path.kind != keepPath {
		d.Path = r.path.apply(q, e.path)
	}
	d.Mirrors = r.mirrored(random)
	return d
}

// unusable is why the backend is not called; status 0: it is.
func (b *Backend) unusable() (status int, why Reason, text string) {
	switch {
	case b.broken != "":
		return http.StatusInternalServerError, ReasonInvalidTLS, b.broken
	case b.Endpoints != nil && len(b.Endpoints.addresses) == 0:
		return http.StatusServiceUnavailable, ReasonNoEndpoint,
			fmt.Sprintf("Service %s has no endpoint for port %d that is ready", b.Service, b.Port)
	}
	return 0, "", ""
}

// pick chooses a target by weight; nil if none has one.
func (r *rule) pick(random uint64) *target {
	at, _ := bits.Mul64(random, r.total)
	for i := range r.targets {
		if at < r.targets[i].weight {
			return &r.targets[i]
		}
		at -= r.targets[i].weight
	}
	return nil
}

func (r *rule) mirrored(random uint64) []*Backend {
	var out []*Backend
	for i, m := range r.mirrors {
		if at, _ := bits.Mul64(mix(random+uint64(i)+1), m.outOf); at < m.of {
			if status, _, _ := m.backend.unusable(); status == 0 {
				out = append(out, m.backend)
			}
		}
	}
	return out
}

// mix makes of a number one that seems independent of it (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// IsCall is true for a call of gRPC; HTTP/1.1 could not carry one on. It is not one of gRPC-Web, which has a type of its own.
func IsCall(r *http.Request) bool {
	const kind = "application/grpc"
	is := r.Header.Get("Content-Type")
	if r.ProtoMajor < 2 || len(is) < len(kind) || !strings.EqualFold(is[:len(kind)], kind) {
		return false
	}
	return len(is) == len(kind) || strings.IndexByte("+; ", is[len(kind)]) >= 0
}

// pathEdit replaces a path.
type pathEdit struct {
	kind  pathEditKind
	value string
}

type pathEditKind uint8

const (
	keepPath pathEditKind = iota
	fullPath
	prefixMatch
)

func (p *pathEdit) apply(q *query, matched string) string {
	if p.kind != prefixMatch {
		return p.value
	}
	if rest, ok := strings.CutPrefix(q.came, matched); ok && (rest == "" || rest[0] == '/') {
		return replacePrefix(q.came, matched, p.value) // what follows stays as it came, like the URL in /proxy/https://a.example
	}
	return replacePrefix(q.path, matched, p.value)
}

// redirect is where requests are sent elsewhere.
type redirect struct {
	scheme string // empty: the listener's
	host   string // empty: the request's
	path   pathEdit
	port   uint16 // 0: by the rules of Gateway API
	status int
}

func (r *redirect) location(l *Listener, e *entry, q *query, host string) string {
	scheme, port := r.scheme, r.port
	if scheme == "" {
		scheme = "http"
		if l.TLS {
			scheme = "https"
		}
		if port == 0 {
			port = l.Port
		}
	}
	if r.host != "" {
		host = r.host
	}
	if strings.IndexByte(host, ':') >= 0 {
		host = "[" + host + "]"
	}
	usual := map[string]uint16{"http": 80, "https": 443}[scheme]
	if port != 0 && port != usual {
		host = net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(int(port)))
	}
	path := q.r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	if r.path.kind != keepPath {
		path = r.path.apply(q, e.path)
	}
	location := scheme + "://" + host + path
	if raw := q.r.URL.RawQuery; raw != "" {
		location += "?" + printable(raw)
	}
	return location
}

// printable escapes what must not be in a header's value.
func printable(s string) string {
	const digits = "0123456789ABCDEF"
	var out strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f {
			out.Write([]byte{'%', digits[c>>4], digits[c&15]})
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}
