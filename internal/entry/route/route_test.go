package route

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// read reads manifests; those without a namespace are in shop.
func read(t testing.TB, texts ...string) *Manifests {
	t.Helper()
	m := &Manifests{}
	for text := range strings.SplitSeq(strings.Join(texts, "\n---\n"), "\n---\n") {
		var head metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(text), &head); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		switch head.Kind {
		case "GatewayClass":
			m.Classes = append(m.Classes, one(t, text, &gatewayv1.GatewayClass{}))
		case "Gateway":
			m.Gateways = append(m.Gateways, one(t, text, &gatewayv1.Gateway{}))
		case "HTTPRoute":
			m.Routes = append(m.Routes, one(t, text, &gatewayv1.HTTPRoute{}))
		case "GRPCRoute":
			m.GRPCRoutes = append(m.GRPCRoutes, one(t, text, &gatewayv1.GRPCRoute{}))
		case "BackendTLSPolicy":
			m.TLSPolicies = append(m.TLSPolicies, one(t, text, &gatewayv1.BackendTLSPolicy{}))
		case "ConfigMap":
			m.ConfigMaps = append(m.ConfigMaps, one(t, text, &corev1.ConfigMap{}))
		case "ReferenceGrant":
			m.Grants = append(m.Grants, one(t, text, &gatewayv1.ReferenceGrant{}))
		case "Service":
			m.Services = append(m.Services, one(t, text, &corev1.Service{}))
		case "EndpointSlice":
			m.Slices = append(m.Slices, one(t, text, &discoveryv1.EndpointSlice{}))
		case "ServiceImport":
			m.Imports = append(m.Imports, one(t, text, &mcsv1beta1.ServiceImport{}))
		case "Secret":
			m.Secrets = append(m.Secrets, one(t, text, &corev1.Secret{}))
		case "TrafficPolicy":
			m.Policies = append(m.Policies, one(t, text, &v1alpha1.TrafficPolicy{}))
		case "Namespace":
			ns := one(t, text, &corev1.Namespace{})
			if m.Namespaces == nil {
				m.Namespaces = make(map[string]map[string]string)
			}
			m.Namespaces[ns.Name] = ns.Labels
		default:
			t.Fatalf("kind %q:\n%s", head.Kind, text)
		}
	}
	return m
}

func one[T metav1.Object](t testing.TB, text string, o T) T {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), o); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if o.GetNamespace() == "" {
		o.SetNamespace("shop")
	}
	return o
}

// compile reads and compiles manifests.
func compile(t testing.TB, texts ...string) (*Table, *Status) {
	t.Helper()
	return Compile(read(t, texts...))
}

const (
	gatewayYAML = `kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: eastway
  listeners:
  - {name: http, port: 80, protocol: HTTP}`
	servicesYAML = `kind: Service
metadata: {name: cart}
spec:
  clusterIP: 10.0.0.1
  ports: [{port: 8080, name: http}, {port: 9000, name: grpc, appProtocol: grpc}, {port: 8443, name: s, appProtocol: https}]
---
kind: Service
metadata: {name: pay}
spec: {clusterIP: 10.0.0.2, ports: [{port: 8080}]}
---
kind: ServiceImport
metadata: {name: stock}
spec: {type: ClusterSetIP, ips: [10.0.0.3], ports: [{port: 80, protocol: TCP, appProtocol: kubernetes.io/h2c}]}`
)

// routeOf is a route on the Gateway web with one rule in flow style per line.
func routeOf(name string, hosts []string, rules ...string) string {
	text := fmt.Sprintf("kind: HTTPRoute\nmetadata: {name: %s}\nspec:\n  parentRefs: [{name: web}]\n", name)
	if hosts != nil {
		text += fmt.Sprintf("  hostnames: [%q]\n", strings.Join(hosts, `", "`))
		text = strings.ReplaceAll(text, `\"`, `"`)
	}
	text += "  rules:\n"
	for _, r := range rules {
		text += "  - " + r + "\n"
	}
	return text
}

// created is a manifest with the day on which it was created.
func created(day, text string) string {
	return strings.Replace(text, "metadata: {", fmt.Sprintf("metadata: {creationTimestamp: %q, ", day+"T00:00:00Z"), 1)
}

const toCart = "backendRefs: [{name: cart, port: 8080}]"

// request is like "GET http://host/path" with headers like "name: value".
func request(line string, headers ...string) *http.Request {
	method, target, _ := strings.Cut(line, " ")
	r := httptest.NewRequest(method, target, http.NoBody)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// ruleOf is the rule of a decision, as route/index, or the reason why there is none.
func ruleOf(d *Decision) string {
	if d.Rule == nil {
		return string(d.Reason)
	}
	return fmt.Sprintf("%s/%d", d.Rule.Route.Name, d.Rule.Index)
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	table, _ := compile(t, gatewayYAML, servicesYAML,
		routeOf("a", nil,
			`{matches: [{path: {type: PathPrefix, value: /}}], `+toCart+`}`,
			`{matches: [{path: {type: PathPrefix, value: /cart}}], `+toCart+`}`,
			`{matches: [{path: {type: PathPrefix, value: /cart/items/}}], `+toCart+`}`,
			`{matches: [{path: {type: Exact, value: /cart}}], `+toCart+`}`,
			`{matches: [{path: {type: RegularExpression, value: "/v[0-9]+/.*"}}], `+toCart+`}`,
			`{matches: [{path: {value: /m}}, {path: {value: /n}}], `+toCart+`}`,
			`{matches: [{path: {value: /m}, headers: [{name: a, value: b}, {name: c, value: d}]}], `+toCart+`}`,
			`{matches: [{path: {value: /m}, headers: [{name: A, value: b}], `+
				`queryParams: [{name: q, value: "1"}, {name: r, value: "2"}]}], `+toCart+`}`,
			`{matches: [{path: {value: /m}, method: POST}], `+toCart+`}`,
			`{matches: [{path: {value: /m}, queryParams: [{name: q, value: "1"}]}], `+toCart+`}`,
			`{matches: [{path: {value: /m}}], `+toCart+`}`,
		),
		routeOf("aa", nil, `{matches: [{path: {value: /n}}, {path: {value: /only}}], `+toCart+`}`),
		created("2026-01-01", routeOf("old", nil, `{matches: [{path: {value: /age}}], `+toCart+`}`)),
		created("2025-01-01", routeOf("zz", nil, `{matches: [{path: {value: /old}}], `+toCart+`}`)),
		created("2026-02-01", routeOf("b", nil, `{matches: [{path: {value: /age}}, {path: {value: /old}}], `+toCart+`}`)),
		routeOf("aaa", nil, `{matches: [{path: {value: /age}}], `+toCart+`}`),
	)
	for _, test := range []struct {
		line    string
		headers []string
		want    string
	}{
		{line: "GET http://x/", want: "a/0"},
		{line: "GET http://x", want: "a/0"},
		{line: "GET http://x/cart", want: "a/3"},
		{line: "GET http://x/cart/", want: "a/1"},
		{line: "GET http://x/cartoon", want: "a/0"},
		{line: "GET http://x/c%61rt", want: "a/3"},
		{line: "GET http://x/Cart", want: "a/0"},
		{line: "GET http://x/cart%2Fitems", want: "a/0"},
		{line: "GET http://x/cart/items", want: "a/2"},
		{line: "GET http://x/cart/items/7", want: "a/2"},
		{line: "GET http://x/cart/itemsx", want: "a/1"},
		{line: "GET http://x/v1/x", want: "a/4"},
		{line: "GET http://x/w/v1/x", want: "a/0"},
		{line: "GET http://x/n", want: "a/5"},
		{line: "GET http://x/only", want: "aa/0"},
		{line: "GET http://x/m", want: "a/5"},
		{line: "POST http://x/m", headers: []string{"A: b", "C: d"}, want: "a/8"},
		{line: "GET http://x/m?q=1", headers: []string{"A: b", "C: d"}, want: "a/6"},
		{line: "GET http://x/m?q=1&r=2", headers: []string{"A: b"}, want: "a/7"},
		{line: "GET http://x/m?q=1&q=3", want: "a/9"},
		{line: "GET http://x/m?q=3&q=1", want: "a/5"},
		{line: "GET http://x/m?q=1&r=2", headers: []string{"A: b", "A: b"}, want: "a/9"},
		{line: "GET http://x/age", want: "old/0"},
		{line: "GET http://x/old", want: "zz/0"},
		{line: "GET http://x/a/../b", want: "bad_path"},
		{line: "GET http://x/a/%2e%2E/b", want: "bad_path"},
		{line: "GET http://x/a/.", want: "bad_path"},
		{line: "GET http://x/a/.b/..c", want: "a/0"},
		{line: "GET http://x//old", want: "zz/0"},
		{line: "CONNECT x:80", want: "method"},
	} {
		d := table.Match(80, request(test.line, test.headers...), 0)
		if got := ruleOf(&d); got != test.want {
			t.Errorf("%s %q: %s, want %s", test.line, test.headers, got, test.want)
		}
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	table, _ := compile(t, gatewayYAML, servicesYAML, routeOf("a", nil,
		`{matches: [{headers: [{name: x-list, value: "a,b"}]}], `+toCart+`}`,
		`{matches: [{headers: [{name: X-Re, type: RegularExpression, value: "[0-9]+"}, {name: x-re, value: ignored}]}], `+toCart+`}`,
		`{matches: [{headers: [{name: Host, value: shop.example}]}], `+toCart+`}`,
		`{matches: [{queryParams: [{name: Q, type: RegularExpression, value: "a|b"}]}], `+toCart+`}`,
	))
	for _, test := range []struct {
		line    string
		headers []string
		want    string
	}{
		{"GET http://x/", []string{"X-List: a", "X-List: b"}, "a/0"},
		{"GET http://x/", []string{"X-List: a"}, "no_route"},
		{"GET http://x/", []string{"x-re: 12"}, "a/1"},
		{"GET http://x/", []string{"x-re: 12a"}, "no_route"},
		{"GET http://shop.example/", nil, "a/2"},
		{"GET http://x/?Q=a", nil, "a/3"},
		{"GET http://x/?Q=ab", nil, "no_route"},
		{"GET http://x/?q=a", nil, "no_route"},
		{"GET http://x/?%zz&Q=b", nil, "a/3"},
	} {
		d := table.Match(80, request(test.line, test.headers...), 0)
		if got := ruleOf(&d); got != test.want {
			t.Errorf("%s %q: %s, want %s", test.line, test.headers, got, test.want)
		}
	}
}

func TestHostOf(t *testing.T) {
	t.Parallel()
	for field, want := range map[string]string{
		"Example.COM": "example.com", "example.com:8080": "example.com", "example.com.": "example.com", "a_b.example": "a_b.example",
		"10.0.0.1:80": "10.0.0.1", "[2001:DB8::1]:80": "2001:db8::1", "[::1]": "::1", "x:": "x",
		"": "", ":80": "", "a..b": "", ".a": "", "a b": "", "a/b": "", "x:80:80": "", "x:99999": "", "x:-1": "", "[::1": "", "[::1]x": "",
		"[1.2.3.4]": "", "[fe80::1%25eth0]": "", "user@host": "", "é.example": "", "*.example.com": "", strings.Repeat("a", 64): "",
		strings.Repeat("a.", 127) + "a": "", "x\r\ny": "", "..": "",
	} {
		got, ok := hostOf(field)
		if !ok {
			got = ""
		}
		if got != want {
			t.Errorf("%q: %q, want %q", field, got, want)
		}
	}
}

func TestHostnames(t *testing.T) {
	t.Parallel()
	const listeners = `kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: eastway
  listeners:
  - {name: all, port: 80, protocol: HTTP}
  - {name: wild, port: 80, protocol: HTTP, hostname: "*.example.com"}
  - {name: deep, port: 80, protocol: HTTP, hostname: "*.deep.example.com"}
  - {name: exact, port: 80, protocol: HTTP, hostname: www.example.com}`
	table, status := compile(t, listeners, servicesYAML,
		routeOf("any", nil, `{matches: [{path: {value: /any}}], `+toCart+`}`),
		routeOf("wild", []string{"*.example.com"}, `{matches: [{path: {value: /}}], `+toCart+`}`),
		routeOf("api", []string{"api.example.com", "api.example.org"}, `{matches: [{path: {value: /api}}], `+toCart+`}`),
		routeOf("org", []string{"*.example.org"}, `{matches: [{path: {type: Exact, value: /api}}], `+toCart+`}`),
		strings.Replace(routeOf("only", []string{"www.example.com"}, `{matches: [{path: {value: /only}}], `+toCart+`}`),
			"{name: web}]", "{name: web, sectionName: wild}]", 1),
		strings.Replace(routeOf("section", []string{"*.example.com"}, `{matches: [{path: {value: /section}}], `+toCart+`}`),
			"{name: web}]", "{name: web, sectionName: wild}]", 1),
	)
	for target, want := range map[string]string{
		"http://api.example.com/api":        "api/0",
		"http://api.example.com:8080/api/x": "api/0",
		"http://API.example.com./api":       "api/0",
		"http://api.example.com/x":          "wild/0", // the less specific hostname of the same listener
		"http://api.example.org/api":        "api/0",  // more specific than the exact path
		"http://x.example.org/api":          "org/0",
		"http://x.example.org/any":          "any/0",
		"http://example.org/api":            "no_route",
		"http://example.com/":               "no_route", // "*." stands for one label or more
		"http://www.example.com/":           "wild/0",
		"http://www.example.com/only":       "wild/0", // the route is on listener wild alone, which gets no request for this host
		"http://www.example.com/section":    "wild/0", // listener exact
		"http://a.b.example.com/section":    "section/0",
		"http://a.deep.example.com/section": "wild/0", // listener deep
		"http://deep.example.com/section":   "section/0",
		"http://10.0.0.1/any":               "any/0",
		"http://[::1]:80/any":               "any/0",
	} {
		d := table.Match(80, request("GET "+target), 0)
		if got := ruleOf(&d); got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
	attached := make(map[string]int32)
	for _, l := range status.Gateways[named("web")].Listeners {
		attached[string(l.Name)] = l.AttachedRoutes
	}
	want := map[string]int32{"all": 4, "wild": 5, "deep": 2, "exact": 2}
	if fmt.Sprint(attached) != fmt.Sprint(want) {
		t.Errorf("attached %v, want %v", attached, want)
	}
	if d := table.Match(81, request("GET http://x/"), 0); d.Reason != ReasonNoListener || d.Status != 404 {
		t.Errorf("other port: %+v", d)
	}
	r := request("GET http://x/")
	r.Host = "a b"
	if d := table.Match(80, r, 0); d.Reason != ReasonBadHost || d.Status != 400 {
		t.Errorf("bad host: %+v", d)
	}
}

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "shop", Name: name}
}

func TestMisdirected(t *testing.T) {
	t.Parallel()
	table, status := compile(t, servicesYAML, secretYAML(t, "shop", "cert"), `kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: eastway
  listeners:
  - {name: all, port: 443, protocol: HTTPS, hostname: one.example, tls: {certificateRefs: [{name: cert}]}}
  - {name: two, port: 443, protocol: HTTPS, hostname: two.example, tls: {certificateRefs: [{name: cert}]}}
  - {name: wild, port: 443, protocol: HTTPS, hostname: "*.wild.example", tls: {certificateRefs: [{name: cert}]}}
  - {name: in, port: 443, protocol: HTTPS, hostname: in.wild.example, tls: {certificateRefs: [{name: cert}]}}`,
		routeOf("a", nil, `{`+toCart+`}`))
	for _, test := range []struct {
		sni, host string
		want      int
	}{
		{"one.example", "one.example", 0},
		{"one.example", "ONE.example:443", 0},
		{"one.example", "two.example", 421},
		{"one.example", "other.example", 404},
		{"a.wild.example", "b.wild.example", 0},
		{"a.wild.example", "in.wild.example", 421},
		{"in.wild.example", "a.wild.example", 421},
		{"", "one.example", 421},
	} {
		r := request("GET https://" + test.host + "/")
		r.TLS = &tls.ConnectionState{ServerName: test.sni}
		if d := table.Match(443, r, 0); d.Status != test.want {
			t.Errorf("%s on a connection for %s: %d %s, want %d", test.host, test.sni, d.Status, d.Reason, test.want)
		}
	}
	got := make(map[string]string)
	for _, l := range status.Gateways[named("web")].Listeners {
		got[string(l.Name)] = conditionOf(l.Conditions, "OverlappingTLSConfig")
	}
	want := map[string]string{"all": "", "two": "", "wild": "True OverlappingHostnames", "in": "True OverlappingHostnames"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("overlaps %v, want %v", got, want)
	}
	if l := table.Listener(443, "IN.wild.example"); l == nil || l.Name != "in" || len(l.Certificates) != 1 || l.Certificates[0].Pair.Leaf == nil {
		t.Errorf("listener %+v", l)
	}
	if l := table.Listener(443, "none.example"); l != nil {
		t.Errorf("listener %+v", l)
	}
	if ports := table.Ports(); len(ports) != 1 || !ports[0].TLS || len(ports[0].Listeners) != 4 {
		t.Errorf("ports %+v", ports)
	}
}

// conditionOf is a condition as "status reason", empty if it is not there.
func conditionOf(list []metav1.Condition, kind string) string {
	at := slices.IndexFunc(list, func(c metav1.Condition) bool { return c.Type == kind })
	if at < 0 {
		return ""
	}
	return string(list[at].Status) + " " + list[at].Reason
}
