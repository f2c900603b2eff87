package route

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// randomRoutes are routes whose matches often tie.
func randomRoutes(t *testing.T, random *rand.Rand) *Manifests {
	t.Helper()
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	m := read(t, servicesYAML, `kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: eastway
  listeners:
  - {name: all, port: 80, protocol: HTTP}
  - {name: wild, port: 80, protocol: HTTP, hostname: "*.b.example"}`)
	for i := range 8 {
		var hosts []string
		for range random.IntN(3) {
			hosts = append(hosts, pick("a.b.example", "*.b.example", "*.example", "c.example"))
		}
		var rules []string
		for range 1 + random.IntN(3) {
			var matches []string
			for range 1 + random.IntN(3) {
				match := pick("path: {value: /}", "path: {value: /a}", "path: {value: /a/b}", "path: {type: Exact, value: /a}", `path: {type: `+
					`RegularExpression, value: "/[ab].*"}`)
				match += pick("", "", ", method: GET")
				match += pick("", ", headers: [{name: h, value: '1'}]", ", headers: [{name: h, value: '1'}, {name: i, "+
					"value: '2'}]")
				match += pick("", "", ", queryParams: [{name: q, value: '1'}]")
				matches = append(matches, "{"+match+"}")
			}
			rules = append(rules, "{matches: ["+strings.Join(matches, ", ")+"], "+toCart+"}")
		}
		text := routeOf(fmt.Sprintf("r%d", i), slices.Compact(hosts), rules...)
		if hosts == nil {
			text = routeOf(fmt.Sprintf("r%d", i), nil, rules...)
		}
		m.Routes = append(m.Routes, read(t, text).Routes...)
		if age := random.IntN(4); age > 0 {
			m.Routes[i].CreationTimestamp = metav1.NewTime(time.Unix(int64(age), 0))
		}
	}
	return m
}

func randomRequest(random *rand.Rand) *http.Request {
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	r := request(pick("GET", "POST") + " http://" + pick("a.b.example", "x.b.example", "c.example", "x.example", "b.example") +
		pick("/", "/a", "/a/", "/ab", "/a/b", "/a/b/c", "/c") + pick("", "?q=1", "?q=2"))
	if random.IntN(2) > 0 {
		r.Header.Set("H", "1")
	}
	if random.IntN(2) > 0 {
		r.Header.Set("I", "2")
	}
	return r
}

// naive finds the rule of a request as the text of Gateway API has it: of all matches of all routes, the one that is first.
func naive(m *Manifests, r *http.Request) string {
	best, bestKey := "no_route", []any(nil)
	listener := "" // its hostname
	if strings.HasSuffix(r.Host, ".b.example") {
		listener = "*.b.example"
	}
	for _, route := range m.Routes {
		hosts := route.Spec.Hostnames
		if len(hosts) == 0 {
			hosts = []gatewayv1.Hostname{gatewayv1.Hostname(listener)}
		}
		for _, h := range hosts {
			host := string(h)
			suffix, wild := strings.CutPrefix(host, "*")
			if listener != "" && wild && len(suffix) < len(listener)-1 { // both are wildcards here: what both match is the longer one
				host, suffix = listener, listener[1:]
			}
			if host != "" && host != r.Host && (!wild || !strings.HasSuffix(r.Host, suffix)) {
				continue
			}
			for i, rule := range route.Spec.Rules {
				for j := range rule.Matches {
					key := naiveKey(&rule.Matches[j], r)
					if key == nil {
						continue
					}
					exactHost, length := 0, -len(host)
					if strings.HasPrefix(host, "*") || host == "" {
						exactHost = 1
					}
					age := route.CreationTimestamp.Unix()
					if route.CreationTimestamp.IsZero() {
						age = 1 << 40
					}
					key = slices.Concat([]any{exactHost, length}, key, []any{int(age), "shop/" + route.Name, i, j})
					if bestKey == nil || naiveLess(key, bestKey) {
						best, bestKey = fmt.Sprintf("%s/%d", route.Name, i), key
					}
				}
			}
		}
	}
	return best
}

func naiveKey(m *gatewayv1.HTTPRouteMatch, r *http.Request) []any {
	kind, length, path := 3, 0, *m.Path.Value
	switch {
	case m.Path.Type != nil && *m.Path.Type == gatewayv1.PathMatchExact:
		if r.URL.Path != path {
			return nil
		}
		kind = 0
	case m.Path.Type != nil && *m.Path.Type == gatewayv1.PathMatchRegularExpression:
		if len(r.URL.Path) < 2 || r.URL.Path[1] != 'a' && r.URL.Path[1] != 'b' {
			return nil
		}
		kind = 2
	case path != "/":
		if r.URL.Path != path && !strings.HasPrefix(r.URL.Path, path+"/") {
			return nil
		}
		kind, length = 1, -len(path)
	}
	method := 1
	if m.Method != nil {
		if r.Method != string(*m.Method) {
			return nil
		}
		method = 0
	}
	for _, h := range m.Headers {
		if r.Header.Get(string(h.Name)) != h.Value {
			return nil
		}
	}
	for _, q := range m.QueryParams {
		if r.URL.Query().Get(string(q.Name)) != q.Value {
			return nil
		}
	}
	return []any{kind, length, method, -len(m.Headers), -len(m.QueryParams)}
}

func naiveLess(a, b []any) bool {
	for i := range a {
		switch x := a[i].(type) {
		case int:
			if y := b[i].(int); x != y {
				return x < y
			}
		case string:
			if y := b[i].(string); x != y {
				return x < y
			}
		}
	}
	return false
}

// The index finds what a search through all matches finds, in whatever order the manifests come.
func TestMatchIsTheFirstOfAll(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 0))
		m := randomRoutes(t, random)
		table, _ := Compile(m)
		shuffled := *m
		shuffled.Routes = slices.Clone(m.Routes)
		random.Shuffle(len(shuffled.Routes), func(i, j int) {
			shuffled.Routes[i], shuffled.Routes[j] = shuffled.Routes[j], shuffled.Routes[i]
		})
		other, _ := Compile(&shuffled)
		for range 60 {
			r := randomRequest(random)
			d, e := table.Match(80, r, 0), other.Match(80, r, 0)
			if got, want := ruleOf(&d), naive(m, r); got != want || ruleOf(&e) != want {
				t.Fatalf("seed %d: %s http://%s%s %v: %s, shuffled %s, want %s", seed, r.Method, r.Host, r.URL, r.Header, got, ruleOf(&e), want)
			}
		}
	}
}

// The order of entries is total: of any two, the same one is first.
func TestOrderIsTotal(t *testing.T) {
	t.Parallel()
	table, _ := Compile(randomRoutes(t, rand.New(rand.NewPCG(1, 1))))
	for _, l := range table.Ports()[0].Listeners {
		for x := range l.routes.matching("a.b.example") {
			all := slices.Concat(x.regular, x.root)
			for _, list := range x.prefixes {
				all = append(all, list...)
			}
			for _, list := range x.exact {
				all = append(all, list...)
			}
			for _, a := range all {
				for _, b := range all {
					if ab, ba := compare(a, b), compare(b, a); ab != -ba || (ab == 0) != (a == b) {
						t.Errorf("%+v and %+v: %d and %d", a, b, ab, ba)
					}
				}
			}
		}
	}
}

func FuzzMatch(f *testing.F) {
	table, _ := compile(f, gatewayYAML, servicesYAML, routeOf("a", nil,
		`{matches: [{path: {value: /a}}, {path: {type: Exact, value: /b}}], filters: [{type: CORS, cors: {allowOrigins: `+
			`["https://*.example"]}}], `+toCart+`}`,
		`{matches: [{path: {value: /r}}], filters: [{type: RequestRedirect, requestRedirect: {scheme: https, path: {type: ReplacePrefixMatch, `+
			`replacePrefixMatch: /s}}}]}`,
		`{matches: [{path: {type: RegularExpression, value: "/[0-9]+"}, queryParams: [{name: q, type: RegularExpression, value: "a+"}]}], `+
			``+toCart+`}`,
		`{matches: [{path: {value: /w}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}], `+
			``+toCart+`}`,
	), routeOf("b", []string{"*.b.example"}, `{`+toCart+`}`))
	f.Add("GET", "x.b.example", "/a/%41?q", "https://a.example", uint64(1))
	f.Add("OPTIONS", "[::1]:80", "/r//x", "null", uint64(1<<63))
	f.Add("CONNECT", "", "*", "", uint64(0))
	f.Fuzz(func(t *testing.T, method, host, target, origin string, random uint64) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := &http.Request{Method: method, Host: host, URL: u, Header: http.Header{"Origin": {origin}}, ProtoMajor: 1}
		d := table.Match(80, r, random)
		switch d.Kind {
		case Refuse:
			if d.Status < 400 || d.Reason == "" || d.Message == "" {
				t.Errorf("%+v", d)
			}
		case Redirect:
			location, err := url.Parse(d.Location)
			if err != nil || location.Scheme != "https" || !strings.HasPrefix(location.EscapedPath(), "/s") {
				t.Errorf("location %q: %v", d.Location, err)
			}
			if name, _ := hostOf(host); location.Hostname() != name || strings.ContainsAny(d.Location, "\r\n ") {
				t.Errorf("location %q of host %q", d.Location, host)
			}
		case Preflight:
			if method != http.MethodOptions || d.Status != http.StatusNoContent {
				t.Errorf("%+v", d)
			}
		case Forward:
			if d.Backend == nil || d.Path != "" && d.Path[0] != '/' {
				t.Errorf("%+v", d)
			}
		}
		if again := table.Match(80, r, random); again.Kind != d.Kind || again.Rule != d.Rule || again.Path != d.Path || again.Location != d.Location {
			t.Errorf("%+v, then %+v", d, again)
		}
	})
}
