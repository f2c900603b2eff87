package v1alpha1

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestValidateHealthCheck(t *testing.T) {
	t.Parallel()
	const at = "spec.healthCheck."
	with := func(fields, want string) edit { return requests("healthCheck: {"+fields+"}", want) }
	http := func(fields, want string) edit { return with("http: {"+fields+"}", want) }
	tcp := func(fields, want string) edit { return with("tcp: {}, "+fields, want) }
	for _, e := range []edit{
		with("tcp: {}", ""),
		with("grpc: {}", ""),
		with("grpc: {service: shop.Cart, authority: \"shop:8080\"}", ""),
		with("", `spec.healthCheck: Invalid value: "0 of http, tcp and grpc": must have exactly one of http, tcp and grpc`),
		with("tcp: {}, grpc: {}", `spec.healthCheck: Invalid value: "2 of http, tcp and grpc": must have exactly one`),
		tcp("port: 65535, interval: 100ms, timeout: 10ms, unhealthyThreshold: 1, healthyThreshold: 1000", ""),
		tcp("port: 0", at+"port: Invalid value: 0: must be between 1 and 65535"),
		tcp("port: 65536", at+"port: Invalid value: 65536: must be between 1 and 65535"),
		tcp("interval: 99ms", at+`interval: Invalid value: "99ms": must be between 100ms and 1h0m0s`),
		tcp("interval: 61m", at+`interval: Invalid value: "1h1m0s": must be between 100ms and 1h0m0s`),
		tcp("timeout: 9ms", at+`timeout: Invalid value: "9ms": must be between 10ms and 1m0s`),
		tcp("timeout: 61s", at+`timeout: Invalid value: "1m1s": must be between 10ms and 1m0s`),
		tcp("unhealthyThreshold: 0", at+"unhealthyThreshold: Invalid value: 0: must be between 1 and 1000"),
		tcp("healthyThreshold: 1001", at+"healthyThreshold: Invalid value: 1001: must be between 1 and 1000"),
		http("path: /healthz", ""),
		http(`path: "/ready?full=1&x=%20", host: shop.example.com, method: HEAD, expectedStatuses: [200, "204-399", "401"]`, ""),
		http("", at+"http.path: Required value: such as /healthz"),
		http("path: healthz", at+`http.path: Invalid value: "healthz": must be the path of a request`),
		http("path: http://a/", at+`http.path: Invalid value: "http://a/": must be the path of a request`),
		http(`path: "/a b"`, at+`http.path: Invalid value: "/a b": must be the path of a request`),
		http(`path: "/a\nb"`, at+`http.path: Invalid value: "/a\nb": must be the path of a request`),
		http("path: /"+strings.Repeat("a", MaxMatchValue), at+"http.path: Too long: may not be more than 1024 bytes"),
		http(`path: /, host: "a\r\nb"`, at+`http.host: Invalid value: "a\r\nb": must be a host`),
		http("path: /, host: a/b", at+`http.host: Invalid value: "a/b": must be a host`),
		http("path: /, host: "+strings.Repeat("a", MaxHashKey+1), at+"http.host: Too long: may not be more than 255 bytes"),
		http("path: /, method: POST", at+`http.method: Unsupported value: "POST": supported values: "GET", "HEAD"`),
		http("path: /, expectedStatuses: [200, 600]",
			at+`http.expectedStatuses[1]: Invalid value: "600": must be a status between 200 and 599, or a range such as 200-299`),
		http("path: /, expectedStatuses: ["+strings.Repeat("200, ", MaxExpectedStatuses)+"200]", at+"http.expectedStatuses: Too many: 17"),
		with("grpc: {service: "+strings.Repeat("a", MaxHealthService+1)+"}", at+"grpc.service: Too long: may not be more than 255 bytes"),
		with("grpc: {authority: a@b}", at+`grpc.authority: Invalid value: "a@b": must be a host`),
		requests("portLevelSettings: [{port: {number: 80}, healthCheck: {}}]", `spec.portLevelSettings[0].healthCheck: Invalid value`),
	} {
		p := new(TrafficPolicy)
		check(t, policyYAML, e, p, func() field.ErrorList { return ValidateTrafficPolicy(p) })
	}
}

func TestParseStatuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]int{"200-299": {200, 299}, "204": {204, 204}, "200-200": {200, 200}, "599": {599, 599}} {
		if first, last, err := ParseStatuses(intstr.FromString(text)); err != nil || [2]int{first, last} != want {
			t.Errorf("%s: %d to %d, %v", text, first, last, err)
		}
	}
	if first, last, err := ParseStatuses(intstr.FromInt32(204)); err != nil || first != 204 || last != 204 {
		t.Errorf("%d to %d, %v", first, last, err)
	}
	for _, text := range []string{"", "-", "200-", "-299", "299-200", "199", "600", "200-600", "2xx", "200-250-299", " 200"} {
		if _, _, err := ParseStatuses(intstr.FromString(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}
