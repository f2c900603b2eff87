package route

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// cors is a CORS filter.
type cors struct {
	origins     []origin
	any         bool // "*" is one of the origins
	credentials bool
	methods     []string
	headers     []string
	expose      string
	maxAge      string
}

// origin of a request, or a pattern for some: its host may be "*", or begin with "*".
type origin struct {
	scheme, host, port string
}

// defaultMaxAge of answers to preflight requests, in seconds, is Gateway API's.
const defaultMaxAge = 5

func newCORS(in *gatewayv1.HTTPCORSFilter) (*cors, string) {
	c := &cors{credentials: in.AllowCredentials != nil && *in.AllowCredentials}
	for _, o := range in.AllowOrigins {
		if o == "*" {
			c.any = true
			continue
		}
		pattern, ok := parseOrigin(strings.ToLower(string(o)))
		if !ok || strings.Contains(strings.TrimPrefix(pattern.host, "*"), "*") {
			return nil, "allowOrigins: must each be *, or like https://example.com, https://*.example.com or https://example.com:8443"
		}
		c.origins = append(c.origins, pattern)
	}
	for _, m := range in.AllowMethods {
		c.methods = append(c.methods, string(m))
	}
	for _, h := range in.AllowHeaders {
		c.headers = append(c.headers, string(h))
	}
	var expose []string
	for _, h := range in.ExposeHeaders {
		if h != "*" || !c.credentials { // with credentials, browsers take "*" for a header of that name
			expose = append(expose, string(h))
		}
	}
	c.expose = strings.Join(expose, ", ")
	for _, name := range slices.Concat(c.methods, c.headers, expose) {
		if !isToken(name) { // "*" is one
			return nil, "allowMethods, allowHeaders, exposeHeaders: must be names of methods and headers, or *"
		}
	}
	c.maxAge = strconv.Itoa(int(in.MaxAge))
	if in.MaxAge <= 0 {
		c.maxAge = strconv.Itoa(defaultMaxAge)
	}
	return c, ""
}

func parseOrigin(s string) (origin, bool) {
	scheme, rest, ok := strings.Cut(s, "://")
	ports := map[string]string{"http": "80", "https": "443"}
	if !ok || ports[scheme] == "" || strings.ContainsAny(rest, "/?#@ ") {
		return origin{}, false
	}
	o := origin{scheme: scheme, host: rest, port: ports[scheme]}
	if at := strings.LastIndexByte(rest, ':'); at > strings.LastIndexByte(rest, ']') {
		o.host, o.port = rest[:at], rest[at+1:]
	}
	return o, o.host != "" && o.port != "" && isPort(o.port)
}

func (c *cors) allows(field string) bool {
	if c.any {
		return true
	}
	o, ok := parseOrigin(strings.ToLower(field))
	return ok && slices.ContainsFunc(c.origins, func(p origin) bool {
		suffix, wild := strings.CutPrefix(p.host, "*")
		return p.scheme == o.scheme && p.port == o.port &&
			(p.host == o.host || wild && len(o.host) > len(suffix) && strings.HasSuffix(o.host, suffix))
	})
}

// answer is what the filter puts into the answer, and whether the request is a preflight request, which no backend gets. What the backend says
// does not count. Answers vary with the origin, those too of requests without one: a cache may keep them.
func (c *cors) answer(r *http.Request) (edits []Edit, preflight bool) {
	for _, name := range crossOriginHeaders() {
		edits = append(edits, Edit{Op: Remove, Name: name})
	}
	edits = append(edits, Edit{Op: Add, Name: "Vary", Value: "Origin"})
	field := r.Header.Get("Origin")
	if field == "" {
		return edits, false
	}
	method := r.Header.Get("Access-Control-Request-Method")
	preflight = r.Method == http.MethodOptions && method != ""
	set := func(name, value string) {
		if value != "" {
			edits = append(edits, Edit{Op: Set, Name: name, Value: value})
		}
	}
	if !c.allows(field) {
		return edits, preflight
	}
	if c.any && !c.credentials {
		set("Access-Control-Allow-Origin", "*")
	} else {
		set("Access-Control-Allow-Origin", field)
	}
	if c.credentials {
		set("Access-Control-Allow-Credentials", "true")
	}
	set("Access-Control-Expose-Headers", c.expose)
	if preflight {
		set("Access-Control-Allow-Methods", listed(c.methods, method))
		set("Access-Control-Allow-Headers", listed(c.headers, strings.Join(r.Header.Values("Access-Control-Request-Headers"), ", ")))
		set("Access-Control-Max-Age", c.maxAge)
	}
	return edits, preflight
}

// crossOriginHeaders of answers, of the Fetch standard.
func crossOriginHeaders() []string {
	return []string{
		"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers", "Access-Control-Allow-Methods",
		"Access-Control-Allow-Headers", "Access-Control-Max-Age",
	}
}

// listed is what is allowed: for "*", all that was requested, because with credentials, browsers take "*" for a name.
func listed(allowed []string, requested string) string {
	if slices.Contains(allowed, "*") {
		return requested
	}
	return strings.Join(allowed, ", ")
}
