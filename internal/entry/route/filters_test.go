package route

import (
	"crypto/tls"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRedirect(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		filter, match, target, want string
		status                      int
	}{
		{filter: "scheme: https", target: "http://x/a?b=c", want: "https://x/a?b=c"},
		{filter: "scheme: https", target: "http://x:8080/a", want: "https://x/a"},
		{filter: "scheme: https, port: 8443", target: "http://x/a", want: "https://x:8443/a"},
		{filter: "scheme: http", target: "https://x/", want: "http://x/"},
		{filter: "hostname: y.example", target: "http://x/a", want: "http://y.example/a"},
		{filter: "hostname: y.example", target: "http8080://x/a", want: "http://y.example:8080/a"},
		{filter: "scheme: http, hostname: y.example", target: "http8080://x/a", want: "http://y.example/a"},
		{filter: "hostname: y.example", target: "https://x/a", want: "https://y.example/a"},
		{filter: "port: 80", target: "http8080://x/a", want: "http://x/a"},
		{filter: "port: 80", target: "https://x/a", want: "https://x:80/a"},
		{filter: "port: 8080", target: "http://[2001:db8::1]/a", want: "http://[2001:db8::1]:8080/a"},
		{filter: "scheme: https", target: "http://[2001:db8::1]:80/a", want: "https://[2001:db8::1]/a"},
		{filter: "statusCode: 301", target: "http://X/%61?q=é", want: "http://x/%61?q=%C3%A9", status: 301},
		{filter: "statusCode: 308", target: "http://x//y.example/", want: "http://x//y.example/", status: 308},
		{filter: "path: {type: ReplaceFullPath, replaceFullPath: /b}", target: "http://x/a/c?d", want: "http://x/b?d"},
		{filter: "path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}", match: "/a", target: "http://x/a/c?d=e", want: "http://x/b/c?d=e"},
	} {
		rule := fmt.Sprintf(`{matches: [{path: {value: %q}}], filters: [{type: RequestRedirect, requestRedirect: `+
			`{%s}}]}`, max(test.match, "/"), test.filter)
		table, _ := compile(t, servicesYAML, secretYAML(t, "shop", "cert"), `kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: eastway
  listeners:
  - {name: a, port: 80, protocol: HTTP}
  - {name: b, port: 8080, protocol: HTTP}
  - {name: c, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}`, routeOf("a", nil, rule))
		port := uint16(80)
		if rest, ok := strings.CutPrefix(test.target, "http8080"); ok {
			port, test.target = 8080, "http"+rest
		}
		r := request("GET " + test.target)
		if r.TLS != nil {
			port, r.TLS = 443, &tls.ConnectionState{ServerName: "x"}
		}
		d := table.Match(port, r, 0)
		if d.Kind != Redirect || d.Location != test.want || d.Status != max(test.status, 302) && test.status != 301 {
			t.Errorf("%s of %s: %+v, want %s", test.filter, test.target, d, test.want)
		}
	}
}

func TestRewrite(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ prefix, replacement, path, want string }{
		{"/foo", "/xyz", "/foo/bar", "/xyz/bar"},
		{"/foo", "/xyz/", "/foo/bar", "/xyz/bar"},
		{"/foo/", "/xyz", "/foo/bar", "/xyz/bar"},
		{"/foo/", "/xyz/", "/foo/bar", "/xyz/bar"},
		{"/foo", "/xyz", "/foo", "/xyz"},
		{"/foo", "/xyz", "/foo/", "/xyz/"},
		{"/foo", "", "/foo/bar", "/bar"},
		{"/foo", "", "/foo/", "/"},
		{"/foo", "", "/foo", "/"},
		{"/foo", "/", "/foo/", "/"},
		{"/foo", "/", "/foo", "/"},
		{"/", "/xyz", "/foo", "/xyz/foo"},
		{"/foo", "/xyz", "/f%6fo/a%2fb", "/xyz/a%2Fb"},
		{"/foo", "/xyz", "/foo/https://a.example//b", "/xyz/https://a.example//b"},
		{"/foo", "/xyz", "/foo//", "/xyz//"},
		{"/foo/bar", "/xyz", "//foo//bar//b", "/xyz/b"},
		{"/", "/xyz", "//a", "/xyz//a"},
	} {
		table, _ := compile(t, gatewayYAML, servicesYAML, routeOf("a", nil, fmt.Sprintf(
			`{matches: [{path: {value: %q}}], filters: [{type: URLRewrite, urlRewrite: {hostname: in.example, path: {type: ReplacePrefixMatch, `+
				`replacePrefixMatch: %q}}}], %s}`,
			test.prefix, test.replacement, toCart)))
		d := table.Match(80, request("GET http://x"+test.path), 0)
		if d.Kind != Forward || d.Path != test.want || d.Host != "in.example" {
			t.Errorf("%+v: %+v", test, d)
		}
	}
	table, _ := compile(t, gatewayYAML, servicesYAML, routeOf("a", nil,
		`{filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /a%20b}}}], `+toCart+`}`))
	if d := table.Match(80, request("GET http://x/c?d"), 0); d.Path != "/a%20b" || d.Host != "" {
		t.Errorf("%+v", d)
	}
}

func TestForward(t *testing.T) {
	t.Parallel()
	table, _ := compile(t, gatewayYAML, servicesYAML, routeOf("a", nil, `{name: first, timeouts: {request: 10s, backendRequest: 500ms}, `+
		`filters: [`+
		`{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: b}, {name: X-A, value: ignored}], add: [{name: x-c, `+
		`value: d}], remove: [x-e]}},`+
		`{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [server]}}], `+
		`backendRefs: [{name: cart, port: 8080, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-to, value: `+
		`cart}]}}]}]}`,
		`{matches: [{path: {value: /grpc}}], backendRefs: [{name: cart, port: 9000}]}`,
		`{matches: [{path: {value: /stock}}], backendRefs: [{group: multicluster.x-k8s.io, kind: ServiceImport, name: stock}]}`,
	))
	d := table.Match(80, request("GET http://x/"), math.MaxUint64)
	if got, want := fmt.Sprint(d.Request), "[{2 X-E } {0 X-A b} {1 X-C d} {0 X-To cart}]"; got != want {
		t.Errorf("request %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(d.Response), "[{2 Server }]"; got != want {
		t.Errorf("response %s, want %s", got, want)
	}
	want := Timeouts{Request: 10 * time.Second, BackendRequest: 500 * time.Millisecond}
	if d.Timeouts != want || d.Rule.Name != "first" || d.Listener.Name != "http" {
		t.Errorf("%+v", d)
	}
	for _, test := range []struct {
		target, contentType string
		want                Backend
	}{
		{"http://x/", "", Backend{Address: "10.0.0.1:8080", Kind: "Service", Service: named("cart"), Port: 8080}},
		{"http://x/", "application/grpc+proto", Backend{
			Address: "10.0.0.1:8080", Protocol: H2C, Kind: "Service", Service: named("cart"), Port: 8080,
		}},
		{"http://x/grpc", "", Backend{Address: "10.0.0.1:9000", Protocol: H2C, Kind: "Service", Service: named("cart"), Port: 9000}},
		{"http://x/stock", "", Backend{Address: "10.0.0.3:80", Protocol: H2C, Kind: "ServiceImport", Service: named("stock"), Port: 80}},
	} {
		r := request("POST "+test.target, "Content-Type: "+test.contentType)
		r.ProtoMajor = 2
		d := table.Match(80, r, 0)
		if d.Kind != Forward || *d.Backend != test.want {
			t.Errorf("%s: %+v, want %+v", test.target, d.Backend, test.want)
		}
	}
	r := request("POST http://x/", "Content-Type: application/grpc")
	if d := table.Match(80, r, 0); d.Backend.Protocol != HTTP1 {
		t.Errorf("HTTP/1.1 with a gRPC content type: %+v", d.Backend)
	}
}

func TestWeightsAndMirrors(t *testing.T) {
	t.Parallel()
	table, _ := compile(t, gatewayYAML, servicesYAML, routeOf("a", nil,
		`{filters: [{type: RequestMirror, requestMirror: {percent: 25, backendRef: {name: pay, port: 8080}}},`+
			`{type: RequestMirror, requestMirror: {fraction: {numerator: 1, denominator: 2}, backendRef: {name: pay, port: 8080}}}],`+
			`backendRefs: [{name: cart, port: 8080, weight: 1}, {name: pay, port: 8080, weight: 0}, {name: pay, port: 8080, weight: 2}, {name: `+
			`none, port: 1}]}`,
		`{matches: [{path: {value: /zero}}], backendRefs: [{name: cart, port: 8080, weight: 0}]}`,
		`{matches: [{path: {value: /none}}]}`,
	))
	const rounds = 40_000
	got := make(map[string]int)
	for i := range uint64(rounds) {
		d := table.Match(80, request("GET http://x/"), mix(i))
		switch d.Kind {
		case Forward:
			got[d.Backend.Service.Name]++
		default:
			got[fmt.Sprint(d.Status, d.Reason)]++
		}
		got[fmt.Sprint("mirrors ", len(d.Mirrors))]++
	}
	for key, share := range map[string]float64{
		"cart": .25, "pay": .5, "500invalid_backend": .25, "mirrors 2": .75 * .125, "mirrors 1": .75 * .5, "mirrors 0": .75*.375 + .25,
	} {
		if math.Abs(float64(got[key])/rounds-share) > .02 {
			t.Errorf("%s: %d of %d, want %.1f %%", key, got[key], rounds, share*100)
		}
	}
	for _, target := range []string{"http://x/zero", "http://x/none"} {
		if d := table.Match(80, request("GET "+target), 7); d.Kind != Refuse || d.Status != 500 || d.Reason != ReasonInvalidBackend {
			t.Errorf("%s: %+v", target, d)
		}
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	filter := func(path, fields string) string {
		return fmt.Sprintf(`{matches: [{path: {value: %s}}], filters: [{type: CORS, cors: {%s}}], %s}`, path, fields, toCart)
	}
	table, _ := compile(t, gatewayYAML, servicesYAML, routeOf("a", nil,
		filter("/some", `allowOrigins: ["https://www.one.example", "https://*.two.example", "http://*:8080"], allowMethods: [GET, PUT], `+
			`allowHeaders: [x-1, x-2], exposeHeaders: [x-3, x-4], allowCredentials: true, maxAge: 60`),
		filter("/all", `allowOrigins: ["*"], allowMethods: ["*"], allowHeaders: ["*"], exposeHeaders: ["*"]`),
		filter("/auth", `allowOrigins: ["*"], allowMethods: ["*"], allowHeaders: ["*"], exposeHeaders: ["*"], allowCredentials: true`),
	))
	const methods, headers = "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-1, x-9"
	all := "Access-Control-Allow-"
	for _, test := range []struct {
		line, origin string
		preflight    bool
		want         []string
	}{
		{"GET http://x/some", "https://www.one.example", false, []string{
			all + "Origin: https://www.one.example", all + "Credentials: true", "Access-Control-Expose-Headers: x-3, x-4",
		}},
		{"OPTIONS http://x/some", "https://a.b.two.example:443", true, []string{
			all + "Origin: https://a.b.two.example:443", all + "Credentials: true", "Access-Control-Expose-Headers: x-3, x-4",
			all + "Methods: GET, PUT", all + "Headers: x-1, x-2", "Access-Control-Max-Age: 60",
		}},
		{"GET http://x/some", "http://any.example:8080", false, []string{
			all + "Origin: http://any.example:8080", all + "Credentials: true", "Access-Control-Expose-Headers: x-3, x-4",
		}},
		{"OPTIONS http://x/some", "https://two.example", true, nil},
		{"OPTIONS http://x/some", "http://www.one.example", true, nil},
		{"GET http://x/some", "https://evil.example/.two.example", false, nil},
		{"GET http://x/some", "null", false, nil},
		{"OPTIONS http://x/all", "null", true, []string{
			all + "Origin: *", "Access-Control-Expose-Headers: *", all + "Methods: PUT", all + "Headers: x-1, x-9", "Access-Control-Max-Age: 5",
		}},
		{"OPTIONS http://x/auth", "http://a", true, []string{
			all + "Origin: http://a", all + "Credentials: true", all + "Methods: PUT", all + "Headers: x-1, " +
				"x-9", "Access-Control-Max-Age: 5",
		}},
	} {
		d := table.Match(80, request(test.line, "Origin: "+test.origin, methods, headers), 0)
		var got []string
		for _, e := range d.Response {
			got = append(got, e.Name+": "+e.Value)
		}
		if len(got) < 7 || strings.Join(got[:6], "") != strings.Join(crossOriginHeaders(), ": ")+": " || got[6] != "Vary: Origin" {
			t.Errorf("%s from %s: the answer begins with %q", test.line, test.origin, got)
			continue
		}
		got = got[7:]
		if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
			t.Errorf("%s from %s: %q, want %q", test.line, test.origin, got, test.want)
		}
		want := map[bool]Kind{true: Preflight, false: Forward}[test.preflight]
		if d.Kind != want || test.preflight != (d.Status == http.StatusNoContent) {
			t.Errorf("%s from %s: kind %d, want %d", test.line, test.origin, d.Kind, want)
		}
	}
	if d := table.Match(80, request("OPTIONS http://x/some"), 0); d.Kind != Forward || len(d.Response) != 7 {
		t.Errorf("without Origin: %+v", d)
	}
}
