package v1alpha1

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestValidateRateLimit(t *testing.T) {
	t.Parallel()
	rule := func(fields, want string) edit {
		return requests("rateLimit: {rules: [{quota: 1, fillInterval: 1s}, {quota: 100, fillInterval: 1s, "+fields+"}]}", want)
	}
	match := func(fields, want string) edit { return rule("match: {"+fields+"}", want) }
	many := func(n int, one string) string { return strings.TrimSuffix(strings.Repeat(one+", ", n), ", ") }
	const at = "spec.rateLimit.rules[1].match."
	for _, e := range []edit{
		rule("", ""),
		requests("rateLimit: {rules: []}", `spec.rateLimit.rules: Required value: at least one rule`),
		requests("rateLimit: {}", `spec.rateLimit.rules: Required value: at least one rule`),
		requests("rateLimit: {rules: ["+many(17, "{quota: 1, fillInterval: 1s}")+"]}", `spec.rateLimit.rules: Too many: 17`),
		requests("rateLimit: {rules: ["+many(16, "{quota: 1, fillInterval: 1s}")+"]}", ""),
		requests("rateLimit: {rules: [{fillInterval: 1s}]}", `spec.rateLimit.rules[0].quota: Invalid value: 0: must be between 1 and 1000000`),
		requests("rateLimit: {rules: [{quota: 1000001, fillInterval: 1s}]}", `spec.rateLimit.rules[0].quota: Invalid value: 1000001`),
		requests("rateLimit: {rules: [{quota: 1}]}", `spec.rateLimit.rules[0].fillInterval: Invalid value: "0s": must be between 10ms and 1h0m0s`),
		requests("rateLimit: {rules: [{quota: 1, fillInterval: 9ms}]}", `spec.rateLimit.rules[0].fillInterval: Invalid value: "9ms"`),
		requests("rateLimit: {rules: [{quota: 1000000, fillInterval: 10ms}]}", ""),
		requests("rateLimit: {rules: [{quota: 1, fillInterval: 1h}]}", ""),
		requests("rateLimit: {rules: [{quota: 1, fillInterval: 61m}]}", `spec.rateLimit.rules[0].fillInterval: Invalid value: "1h1m0s"`),
		match(`hosts: [shop.example.com, "*.example.com", 10.0.0.1, shop]`, ""),
		match(`hosts: ["*"]`, at+`hosts[0]: Invalid value: "*": must be a DNS name in lower case without a port`),
		match(`hosts: [a, "Shop.example.com"]`, at+`hosts[1]: Invalid value: "Shop.example.com"`),
		match(`hosts: ["shop:80"]`, at+`hosts[0]: Invalid value: "shop:80"`),
		match(`hosts: ["a.*.com"]`, at+`hosts[0]: Invalid value: "a.*.com"`),
		match("hosts: ["+many(65, "a")+"]", at+`hosts: Too many: 65`),
		match("pathPrefixes: [/, /cart]", ""),
		match("pathPrefixes: [cart]", at+`pathPrefixes[0]: Invalid value: "cart": must begin with /`),
		match("pathPrefixes: [/"+strings.Repeat("a", MaxMatchValue)+"]", at+`pathPrefixes[0]: Invalid value: "/aaa`),
		match("pathPrefixes: ["+many(65, "/")+"]", at+`pathPrefixes: Too many: 65`),
		match("methods: [GET, POST]", ""),
		match("methods: [get]", at+`methods[0]: Invalid value: "get"`),
		match("headers: [{name: x-tier, value: free}]", ""),
		match(`headers: [{name: "", value: free}]`, at+`headers[0].name: Required value: the name of a header`),
		match(`headers: [{name: x-tier}]`, at+`headers[0].value: Required value: the exact value of the header`),
		match(`headers: [{name: "x tier", value: a}]`, at+`headers[0].name: Invalid value: "x tier"`),
		match("headers: [{name: Host, value: a}]", at+`headers[0].name: Invalid value: "Host": is matched by hosts`),
		match(fmt.Sprintf("headers: [{name: %s, value: a}]", strings.Repeat("a", 256)),
			at+`headers[0].name: Too long: may not be more than 255 bytes`),
		match(fmt.Sprintf("headers: [{name: a, value: %s}]", strings.Repeat("a", 1025)),
			at+`headers[0].value: Too long: may not be more than 1024 bytes`),
		match("headers: ["+many(65, "{name: a, value: b}")+"]", at+`headers: Too many: 65`),
		match("clusters: [cluster-a]", ""),
		match("clusters: [Cluster.A]", at+`clusters[0]: Invalid value: "Cluster.A"`),
		requests("portLevelSettings: [{port: {number: 80}, rateLimit: {rules: [{quota: 0, fillInterval: 1s}]}}]",
			`spec.portLevelSettings[0].rateLimit.rules[0].quota: Invalid value: 0`),
	} {
		p := new(TrafficPolicy)
		check(t, policyYAML, e, p, func() field.ErrorList { return ValidateTrafficPolicy(p) })
	}
}
