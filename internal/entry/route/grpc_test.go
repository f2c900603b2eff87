package route

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// grpcOf is a GRPCRoute like routeOf.
func grpcOf(name string, hosts []string, rules ...string) string {
	return strings.Replace(routeOf(name, hosts, rules...), "kind: HTTPRoute", "kind: GRPCRoute", 1)
}

// call is a request of gRPC.
func call(path string, headers ...string) *grpcCall {
	return &grpcCall{path, headers}
}

type grpcCall struct {
	path    string
	headers []string
}

func (c *grpcCall) decide(table *Table, host string) Decision {
	r := request("POST http://"+host+c.path, append([]string{"Content-Type: application/grpc"}, c.headers...)...)
	r.ProtoMajor = 2
	return table.Match(80, r, 0)
}

const toGRPC = "backendRefs: [{name: cart, port: 9000}]"

// Methods, services and headers are matched, those that say more come first, and nothing but gRPC is.
func TestGRPCMatches(t *testing.T) {
	t.Parallel()
	table, status := compile(t, gatewayYAML, servicesYAML, grpcOf("g", []string{"a.example"},
		"{name: any-get, matches: [{method: {method: Get}}], "+toGRPC+"}",
		"{name: service, matches: [{method: {service: shop.v1.Cart}}], "+toGRPC+"}",
		"{name: pattern, matches: [{method: {type: RegularExpression, service: 'shop[.]v.|x', method: 'L.*|'}}], "+toGRPC+"}",
		"{name: header, matches: [{method: {service: shop.v1.Cart, method: Get}, headers: [{name: team, value: b}]}], "+toGRPC+"}",
		"{name: method, matches: [{method: {type: Exact, service: shop.v1.Cart, method: Get}}], "+toGRPC+"}",
	), grpcOf("all", []string{"b.example"}, "{"+toGRPC+"}"))
	for _, name := range []string{"g", "all"} {
		for _, c := range status.GRPCRoutes[named(name)][0].Conditions {
			if c.Status != "True" {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
	if n := status.Gateways[named("web")].Listeners[0].AttachedRoutes; n != 2 || len(status.Routes) != 0 {
		t.Errorf("%d attached, %v", n, status.Routes)
	}
	for _, tt := range []struct{ host, path, header, want string }{
		{"a.example", "/shop.v1.Cart/Get", "", "method"},
		{"a.example", "/shop.v1.Cart/Get", "Team: b", "header"},
		{"a.example", "/shop.v1.Cart/Put", "", "service"},
		{"a.example", "/other.v1.Cart/Get", "", "any-get"},
		{"a.example", "/other.v1.Cart/get", "", ""},
		{"a.example", "/a/b/Get", "", ""},
		{"a.example", "/shop.v2/List", "", "pattern"},
		{"a.example", "/x/List", "", "pattern"},
		{"a.example", "/shop.v2/Put", "", ""},
		{"a.example", "/shop.v1.Carts/Put", "", ""},
		{"b.example", "/any/Thing", "", "rule 0"},
		{"c.example", "/shop.v1.Cart/Get", "", ""},
	} {
		var headers []string
		if tt.header != "" {
			headers = append(headers, tt.header)
		}
		d := call(tt.path, headers...).decide(table, tt.host)
		got := ""
		if d.Kind == Forward {
			if got = d.Rule.Name; got == "" {
				got = fmt.Sprintf("rule %d", d.Rule.Index)
			}
			if d.Rule.Kind != "GRPCRoute" || d.Backend.Protocol != H2C {
				t.Errorf("%+v: %+v", d.Rule, d.Backend)
			}
		} else if d.Status != 404 || d.Reason != ReasonNoRoute {
			t.Errorf("%+v: %+v", tt, d)
		}
		if got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
	if d := table.Match(80, request("POST http://b.example/any/Thing"), 0); d.Reason != ReasonNoRoute {
		t.Errorf("no gRPC: %+v", d)
	}
}

// Filters and weights are those of HTTPRoutes; backends and mirrors get HTTP/2, whatever their port says.
func TestGRPCFilters(t *testing.T) {
	t.Parallel()
	table, status := compile(t, gatewayYAML, servicesYAML, grpcOf("g", nil, `{filters: [
    {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}]}},
    {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [c]}},
    {type: RequestMirror, requestMirror: {backendRef: {name: pay, port: 8080}}}],
    backendRefs: [{name: absent, port: 1, weight: 0}, {name: cart, port: 8080, weight: 1,
      filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: d, value: e}]}}]}]}`))
	d := call("/a/b").decide(table, "a.example")
	if d.Kind != Forward || d.Backend.Protocol != H2C || len(d.Mirrors) != 1 || d.Mirrors[0].Protocol != H2C ||
		!slices.Equal(d.Request, []Edit{{Set, "A", "b"}, {Add, "D", "e"}}) || !slices.Equal(d.Response, []Edit{{Op: Remove, Name: "C"}}) {
		t.Errorf("%+v", d)
	}
	parent := status.GRPCRoutes[named("g")][0]
	if got := conditionOf(parent.Conditions, "ResolvedRefs"); got != "False BackendNotFound" {
		t.Error(got)
	}
	if d := call("/a/b").decide(table, "a.example"); d.Rule.Kind != "GRPCRoute" {
		t.Errorf("%+v", d.Rule)
	}
}

// What is not valid is reported where it is; a filter that is not supported lets nothing pass.
func TestGRPCInvalid(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ rule, want string }{
		{"matches: [{method: {}}], " + toGRPC, "matches[0].method.service: required, or method"},
		{"matches: [{method: {service: a/b}}], " + toGRPC, "matches[0].method.service: must be a name"},
		{"matches: [{method: {service: a, method: b.c}}], " + toGRPC, "matches[0].method.method: must be a name"},
		{"matches: [{method: {type: Glob, service: a}}], " + toGRPC, "matches[0].method.type: use Exact"},
		{"matches: [{method: {type: RegularExpression, service: 'a)|(b'}}], " + toGRPC, "not a regular expression"},
		{"matches: [{headers: [{name: a, type: X, value: b}]}], " + toGRPC, "matches[0].headers[0].type: use Exact"},
		{"matches: [{headers: [{name: 'a b', value: b}]}], " + toGRPC, "matches[0].headers[0]: name"},
		{"filters: [{type: ExtensionRef, extensionRef: {group: a, kind: b, name: c}}], " + toGRPC, "filters[0].type: ExtensionRef is not supported"},
		{"filters: [{type: URLRewrite}], " + toGRPC, "filters[0].type: URLRewrite is not supported"},
		{"backendRefs: [{name: cart, port: 9000, weight: -1}]", "backendRefs[0].weight"},
	} {
		table, status := compile(t, gatewayYAML, servicesYAML, grpcOf("g", nil, "{"+tt.rule+"}"))
		c := status.GRPCRoutes[named("g")][0].Conditions[0]
		if c.Type != "Accepted" || c.Status != "False" || c.Reason != "UnsupportedValue" || !strings.Contains(c.Message, "spec.rules[0]") ||
			!strings.Contains(c.Message, tt.want) {
			t.Errorf("%s: %+v", tt.rule, c)
		}
		d := call("/a/b").decide(table, "a.example")
		if guarded := strings.Contains(tt.rule, "filters:"); guarded != (d.Reason == ReasonInvalidFilter) || d.Kind != Refuse {
			t.Errorf("%s: %+v", tt.rule, d)
		}
	}
	_, status := compile(t, gatewayYAML,
		"kind: Service\nmetadata: {name: ws}\nspec: {clusterIP: 10.0.0.9, ports: [{port: 80, appProtocol: kubernetes.io/ws}]}",
		grpcOf("g", nil, "{backendRefs: [{name: ws, port: 80}]}"))
	if got := conditionOf(status.GRPCRoutes[named("g")][0].Conditions, "ResolvedRefs"); got != "False UnsupportedProtocol" {
		t.Error(got)
	}
}

// Of an HTTPRoute and a GRPCRoute whose hostnames meet at a listener, the older one is attached.
func TestGRPCAndHTTPOnOneHostname(t *testing.T) {
	t.Parallel()
	web := routeOf("h", []string{"*.example"}, "{"+toCart+"}")
	grpc := grpcOf("g", []string{"a.example"}, "{"+toGRPC+"}")
	guard := grpcOf("guard", []string{"a.example"}, "{filters: [{type: ExtensionRef, extensionRef: {group: a, kind: b, name: c}}], "+toGRPC+"}")
	const yes, no = "True Accepted", "False HostnameConflict"
	for name, tt := range map[string]struct {
		texts      []string
		http, grpc string
		attached   int32
		serves     string
	}{
		"HTTPRoute is older": {[]string{created("2026-01-01", web), created("2026-01-02", grpc)}, yes, no, 1, "HTTPRoute"},
		"GRPCRoute is older": {[]string{created("2026-01-02", web), created("2026-01-01", grpc)}, no, yes, 1, "GRPCRoute"},
		"by name":            {[]string{web, grpc}, no, yes, 1, "GRPCRoute"},
		"one is not valid": {
			[]string{created("2026-01-02", web), created("2026-01-01", strings.ReplaceAll(guard, "name: guard", "name: g"))},
			yes, "False UnsupportedValue", 1, "GRPCRoute", // the guard of the GRPCRoute: no request may pass it
		},
		"apart":      {[]string{web, strings.ReplaceAll(grpc, "a.example", "a.test")}, yes, yes, 2, "HTTPRoute"},
		"any":        {[]string{created("2026-01-01", grpcOf("g", nil, "{"+toGRPC+"}")), web}, no, yes, 1, "GRPCRoute"},
		"any at all": {[]string{created("2026-01-01", web), grpcOf("g", nil, "{"+toGRPC+"}")}, yes, no, 1, "HTTPRoute"},
	} {
		table, status := compile(t, append(tt.texts, gatewayYAML, servicesYAML)...)
		h, g := status.Routes[named("h")][0].Conditions, status.GRPCRoutes[named("g")][0].Conditions
		if got := conditionOf(h, "Accepted"); got != tt.http {
			t.Errorf("%s: HTTPRoute %s", name, got)
		}
		if got := conditionOf(g, "Accepted"); got != tt.grpc {
			t.Errorf("%s: GRPCRoute %s", name, got)
		}
		if n := status.Gateways[named("web")].Listeners[0].AttachedRoutes; n != tt.attached {
			t.Errorf("%s: %d attached", name, n)
		}
		if d := call("/a/b").decide(table, "a.example"); d.Rule == nil || d.Rule.Kind != tt.serves {
			t.Errorf("%s: %+v", name, d.Rule)
		}
	}
}

// A listener takes the kinds of routes that it names, each once; ReferenceGrants are for a kind.
func TestGRPCKinds(t *testing.T) {
	t.Parallel()
	for kinds, want := range map[string]string{
		"":                  "HTTPRoute GRPCRoute, True Accepted",
		"{kind: GRPCRoute}": "GRPCRoute, True Accepted",
		"{kind: HTTPRoute}": "HTTPRoute, False NotAllowedByListeners",
		"{kind: TCPRoute}, {kind: GRPCRoute}, {group: gateway.networking.k8s.io, kind: GRPCRoute}": "GRPCRoute, True Accepted",
		"{group: a, kind: GRPCRoute}": ", False NotAllowedByListeners",
	} {
		gateway := gatewayYAML
		if kinds != "" {
			gateway = strings.Replace(gateway, "protocol: HTTP", "protocol: HTTP, allowedRoutes: {kinds: ["+kinds+"]}", 1)
		}
		_, status := compile(t, gateway, servicesYAML, grpcOf("g", nil, "{"+toGRPC+"}"))
		var got []string
		for _, k := range status.Gateways[named("web")].Listeners[0].SupportedKinds {
			got = append(got, string(k.Kind))
		}
		if all := strings.Join(got, " ") + ", " + conditionOf(status.GRPCRoutes[named("g")][0].Conditions, "Accepted"); all != want {
			t.Errorf("%q: %s, want %s", kinds, all, want)
		}
	}
	const far = "kind: Service\nmetadata: {name: db, namespace: far}\nspec: {clusterIP: 10.0.0.9, ports: [{port: 80}]}"
	for from, want := range map[string]string{"HTTPRoute": "False RefNotPermitted", "GRPCRoute": "True ResolvedRefs"} {
		grant := "kind: ReferenceGrant\nmetadata: {name: g, namespace: far}\nspec:\n  to: [{group: '', kind: Service}]\n" +
			"  from: [{group: gateway.networking.k8s.io, namespace: shop, kind: " + from + "}]"
		_, status := compile(t, gatewayYAML, far, grant, grpcOf("g", nil, "{backendRefs: [{name: db, namespace: far, port: 80}]}"))
		if got := conditionOf(status.GRPCRoutes[named("g")][0].Conditions, "ResolvedRefs"); got != want {
			t.Errorf("grant for %s: %s", from, got)
		}
	}
}

// A set of hostnames meets a hostname if that intersects one of them.
func TestHostSet(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	names := []string{"", "a.b.c", "b.c", "*.b.c", "*.c", "x.a.b.c", "*.a.b.c", "a.b", "*.b", "c", "ab.c", "*.ab.c"}
	for range 2000 {
		set, all := newHostSet(), []string(nil)
		for range random.IntN(3) {
			all = append(all, names[random.IntN(len(names))])
			set.add(all[len(all)-1])
		}
		for _, name := range names {
			want := slices.ContainsFunc(all, func(other string) bool { _, ok := intersection(name, other); return ok })
			if got := set.meets(name); got != want {
				t.Fatalf("%q meets %q: %v", all, name, got)
			}
		}
	}
}

// No match of a manifest makes a pattern that fails, or matches what is no call.
func FuzzGRPCMatch(f *testing.F) {
	f.Add("RegularExpression", "shop.*|x", "(?i)get", "/shop/Get")
	f.Add("RegularExpression", ")(", "", "/a/b")
	f.Add("Exact", "", "Get", "/a/Get")
	f.Fuzz(func(t *testing.T, kind, service, method, path string) {
		of := gatewayv1.GRPCMethodMatchType(kind)
		e, wrong := newGRPCEntry(&gatewayv1.GRPCRouteMatch{Method: &gatewayv1.GRPCMethodMatch{Type: &of, Service: &service, Method: &method}})
		if wrong != "" {
			if !strings.HasPrefix(wrong, "method.") {
				t.Errorf("%q", wrong)
			}
			return
		}
		switch {
		case e.kind == regular && e.regex.MatchString(path) && (path == "" || path[0] != '/'):
			t.Errorf("%q matches %q", e.regex, path)
		case e.kind != regular && (e.path == "" || e.path[0] != '/' || checkPath(e.path, true) != "" && service != "." && service != ".."):
			t.Errorf("%q of %q, %q: %s", e.path, service, method, checkPath(e.path, true))
		}
	})
}

// What is a call of gRPC.
func TestIsCall(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "application/grpc; charset=utf-8": true, "Application/GRPC": true,
		"application/grpc-web": false, "application/grpcx": false, "application/grp": false, "": false,
	} {
		r := &http.Request{ProtoMajor: 2, Header: http.Header{"Content-Type": {kind}}}
		if IsCall(r) != want {
			t.Errorf("%q: %v", kind, !want)
		}
		if r.ProtoMajor = 1; IsCall(r) {
			t.Errorf("%q over HTTP/1.1 is one", kind)
		}
	}
}
