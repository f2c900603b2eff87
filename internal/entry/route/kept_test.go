package route

import (
	"strings"
	"testing"
)

// A Secret that becomes unusable closes no port, as long as it is there and may be used.
func TestLastGoodCertificateStays(t *testing.T) {
	t.Parallel()
	const gateway = "kind: Gateway\nmetadata: {name: web}\nspec:\n  gatewayClassName: eastway\n  listeners:\n" +
		"  - {name: a, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}"
	const broken = "kind: Secret\nmetadata: {name: cert}\ntype: kubernetes.io/tls\ndata: {tls.crt: aGVsbG8=, tls.key: aGVsbG8=}"
	good := secretYAML(t, "shop", "cert")
	var kept Kept
	for i, step := range []struct {
		secret string // empty: it is not there
		want   string
		served bool
	}{
		{broken, "False InvalidCertificateRef", false},
		{good, "True ResolvedRefs", true},
		{broken, "False InvalidCertificateRef", true},
		{broken, "False InvalidCertificateRef", true},
		{strings.Replace(good, "kubernetes.io/tls", "Opaque", 1), "False InvalidCertificateRef", true},
		{"", "False InvalidCertificateRef", false},
		{broken, "False InvalidCertificateRef", false},
		{good, "True ResolvedRefs", true},
	} {
		texts := []string{gateway}
		if step.secret != "" {
			texts = append(texts, step.secret)
		}
		table, status := kept.Compile(read(t, texts...))
		if got := len(table.Ports()) == 1; got != step.served {
			t.Errorf("step %d: served: %v", i, got)
		}
		l := status.Gateways[named("web")].Listeners[0]
		if got := conditionOf(l.Conditions, "ResolvedRefs"); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
		for _, c := range l.Conditions {
			if c.Type == "ResolvedRefs" && strings.Contains(c.Message, "stays in use") != (step.served && step.secret != good) {
				t.Errorf("step %d: %s", i, c.Message)
			}
		}
	}
	// A Secret that no listener names for a while is remembered too.
	kept.Compile(read(t, good))
	if table, _ := kept.Compile(read(t, gateway, broken)); len(table.Ports()) != 1 {
		t.Error("the certificate was forgotten")
	}
}

// Rate limits get the path that routes match, with escapes of slashes alone.
func TestSeenPath(t *testing.T) {
	t.Parallel()
	const policy = "kind: TrafficPolicy\nmetadata: {name: p}\nspec:\n  targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: web}\n" +
		"  rateLimit: {rules: [{quota: 1, fillInterval: 1s}]}"
	table, _ := compile(t, gatewayYAML, policy)
	for target, want := range map[string]string{
		"//cart//a%20b": "/cart/a b", "/cart%2f%41": "/cart%2FA", "/%c3%a4": "/ä", "/%25%32%66": "/%2f", "/": "/",
	} {
		if d := table.Match(80, request("GET http://x"+target), 0); d.Seen != want {
			t.Errorf("%s: %q, want %q", target, d.Seen, want)
		}
	}
	if all := table.Limits(); len(all) != 1 || all[0].Key != "shop/p" {
		t.Errorf("limits %v", all)
	}
	table, _ = compile(t, gatewayYAML)
	if d := table.Match(80, request("GET http://x/a"), 0); d.Seen != "" {
		t.Errorf("without limits: %q", d.Seen)
	}
}
