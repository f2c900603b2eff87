package route

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

const headlessYAML = `kind: Service
metadata: {name: db}
spec: {clusterIP: None, ports: [{port: 8080, name: http, targetPort: 3000}, {port: 9000, name: other}]}`

// sliceOf is one of the Service db.
func sliceOf(name, family string, endpoints ...string) string {
	return "kind: EndpointSlice\nmetadata: {name: " + name + ", labels: {kubernetes.io/service-name: db}}\naddressType: " + family +
		"\nports: [{name: metrics, port: 1}, {name: http, port: 3000}]\nendpoints: [" + strings.Join(endpoints, ", ") + "]"
}

// A headless Service is called at its endpoints that are ready, else at those that still serve.
func TestEndpoints(t *testing.T) {
	t.Parallel()
	const (
		one     = "{addresses: [10.0.1.1]}"
		two     = "{addresses: [10.0.1.2], conditions: {ready: true}}"
		starts  = "{addresses: [10.0.1.3], conditions: {ready: false, serving: false}}"
		leaving = "{addresses: [10.0.1.4], conditions: {ready: false, serving: true, terminating: true}}"
		six     = "{addresses: ['2001:db8::1']}"
		bad     = "{addresses: [0.0.0.0]}, {addresses: [169.254.169.254]}, {addresses: [224.0.0.1]}, {addresses: [a.example]}, {addresses: []}"
	)
	for name, tt := range map[string]struct {
		slices []string
		six    bool // is the Service's first family
		want   []string
	}{
		"ready":               {[]string{sliceOf("a", "IPv4", two, starts, leaving, one)}, false, []string{"10.0.1.1:3000", "10.0.1.2:3000"}},
		"of two slices":       {[]string{sliceOf("a", "IPv4", two), sliceOf("b", "IPv4", two)}, false, []string{"10.0.1.2:3000"}},
		"none ready":          {[]string{sliceOf("a", "IPv4", starts, leaving)}, false, []string{"10.0.1.4:3000"}},
		"first family":        {[]string{sliceOf("a", "IPv4", one), sliceOf("b", "IPv6", six)}, false, []string{"10.0.1.1:3000"}},
		"first is IPv6":       {[]string{sliceOf("a", "IPv4", one), sliceOf("b", "IPv6", six)}, true, []string{"[2001:db8::1]:3000"}},
		"other family":        {[]string{sliceOf("a", "IPv4", starts), sliceOf("b", "IPv6", six)}, false, []string{"[2001:db8::1]:3000"}},
		"special addresses":   {[]string{sliceOf("a", "IPv4", bad, one)}, false, []string{"10.0.1.1:3000"}},
		"names":               {[]string{sliceOf("a", "FQDN", "{addresses: [a.example]}")}, false, nil},
		"no port of the name": {[]string{strings.Replace(sliceOf("a", "IPv4", one), "name: http", "name: h", 1)}, false, nil},
		"port of UDP":         {[]string{strings.Replace(sliceOf("a", "IPv4", one), "name: http", "protocol: UDP, name: http", 1)}, false, nil},
		"of another Service":  {[]string{strings.Replace(sliceOf("a", "IPv4", one), "service-name: db", "service-name: d", 1)}, false, nil},
		"none":                {nil, false, nil},
	} {
		service := headlessYAML
		if tt.six {
			service = strings.Replace(service, "clusterIP", "ipFamilies: [IPv6, IPv4], clusterIP", 1)
		}
		texts := append([]string{gatewayYAML, service, routeOf("r", nil, "backendRefs: [{name: db, port: 8080}]")}, tt.slices...)
		table, status := compile(t, texts...)
		for _, c := range status.Routes[named("r")][0].Conditions {
			if c.Status != "True" {
				t.Errorf("%s: %+v", name, c)
			}
		}
		d := table.Match(80, request("GET http://a.example/"), 0)
		if tt.want == nil {
			if d.Kind != Refuse || d.Status != 503 || d.Reason != ReasonNoEndpoint || !strings.Contains(d.Message, "shop/db") {
				t.Errorf("%s: %+v", name, d)
			}
			continue
		}
		if d.Kind != Forward || d.Backend.Address != "" || d.Backend.Endpoints == nil {
			t.Fatalf("%s: %+v", name, d)
		}
		if got := d.Backend.Endpoints.Order(10); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// Endpoints take turns, over all routes of a Table, and those of other ports have their own.
func TestTurns(t *testing.T) {
	t.Parallel()
	table, _ := compile(t, gatewayYAML, headlessYAML,
		sliceOf("a", "IPv4", "{addresses: [10.0.1.1]}", "{addresses: [10.0.1.2]}", "{addresses: [10.0.1.3]}"),
		routeOf("r", nil, "{matches: [{path: {value: /a}}], backendRefs: [{name: db, port: 8080}]}",
			"{backendRefs: [{name: db, port: 8080}]}", "{matches: [{path: {value: /c}}], backendRefs: [{name: db, port: 9000}]}"))
	var got []string
	for _, path := range []string{"a", "b", "a", "a"} {
		got = append(got, table.Match(80, request("GET http://a.example/"+path), 0).Backend.Endpoints.Order(2)...)
	}
	want := "10.0.1.1:3000 10.0.1.2:3000 10.0.1.2:3000 10.0.1.3:3000 10.0.1.3:3000 10.0.1.1:3000 10.0.1.1:3000 10.0.1.2:3000"
	if strings.Join(got, " ") != want {
		t.Errorf("%q, want %s", got, want)
	}
	if d := table.Match(80, request("GET http://a.example/c"), 0); d.Reason != ReasonNoEndpoint {
		t.Errorf("the port that no slice has: %+v", d)
	}
}

// Nothing is mirrored to a Service without endpoints.
func TestNoMirrorWithoutEndpoints(t *testing.T) {
	t.Parallel()
	mirrored := "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: db, port: 8080}}}], " + toCart + "}"
	for _, slice := range []string{sliceOf("a", "IPv4"), sliceOf("a", "IPv4", "{addresses: [10.0.1.1]}")} {
		table, _ := compile(t, gatewayYAML, servicesYAML, headlessYAML, slice, routeOf("r", nil, mirrored))
		d := table.Match(80, request("GET http://a.example/"), 0)
		if want := strings.Count(slice, "10.0.1.1"); d.Kind != Forward || len(d.Mirrors) != want {
			t.Errorf("%d mirrors, want %d", len(d.Mirrors), want)
		}
	}
}

// Addresses that no object may lead to: of no endpoint, or where clouds give out credentials.
func TestCallable(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"0.0.0.0", "0.1.2.3", "255.255.255.255", "224.0.0.1", "169.254.169.254", "::", "ff02::1", "fe80::1", "fd00:ec2::254", "64:ff9b::a9fe:a9fe",
	} {
		if callable(netip.MustParseAddr(address)) {
			t.Errorf("%s is called", address)
		}
	}
	for _, address := range []string{"10.0.0.1", "100.64.0.1", "2001:db8::1", "fd00::1", "64:ff9b::c000:201", "127.0.0.1"} {
		if !callable(netip.MustParseAddr(address)) {
			t.Errorf("%s is not called", address)
		}
	}
}
