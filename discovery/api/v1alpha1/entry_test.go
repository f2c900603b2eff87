package v1alpha1

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// A policy for a Gateway or HTTPRoute is for no service, and has a rateLimit only.
func TestPolicyOfEntry(t *testing.T) {
	t.Parallel()
	const limit, gateway = "rateLimit: {rules: [{quota: 1, fillInterval: 1s}]}", "group: gateway.networking.k8s.io, "
	for _, test := range []struct{ target, settings, want string }{
		{gateway + "kind: Gateway, name: web", limit, ""},
		{gateway + "kind: HTTPRoute, name: web.example", limit, ""},
		{gateway + "kind: HTTPRoute, name: Web", limit, "spec.targetRef.name: Invalid value"},
		{gateway + "kind: GRPCRoute, name: web", limit, "spec.targetRef.kind: Unsupported value"},
		{"kind: HTTPRoute, name: web", limit, `spec.targetRef.group: Unsupported value: "": supported values: "gateway.networking.k8s.io"`},
		{gateway + "kind: Gateway, name: web", "scope: region", "spec.rateLimit: Required value"},
		{gateway + "kind: Gateway, name: web", limit + ", scope: region", "has a rateLimit only: for the rest, name the Service"},
		{gateway + "kind: Gateway, name: web", "rateLimit: {rules: [{quota: 0, fillInterval: 1s}]}", "spec.rateLimit.rules[0].quota: Invalid value"},
		{
			gateway + "kind: Gateway, name: web", "rateLimit: {rules: [{quota: 1, fillInterval: 1s, match: {clusters: [a]}}]}",
			"spec.rateLimit.rules[0].match.clusters: Forbidden",
		},
	} {
		var p TrafficPolicy
		text := "metadata: {name: p}\nspec: {targetRef: {" + test.target + "}, " + test.settings + "}"
		if err := yaml.UnmarshalStrict([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := ValidateTrafficPolicy(&p).ToAggregate(); err != nil {
			got = err.Error()
		}
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s, %s: %q, want %q", test.target, test.settings, got, test.want)
		}
		if test.want == "" && (p.Spec.TargetRef.Fits(true, false) || p.Spec.TargetRef.Fits(false, true) || p.Spec.TargetRef.Fits(false, false)) {
			t.Errorf("%s: fits a service", test.target)
		}
	}
}
