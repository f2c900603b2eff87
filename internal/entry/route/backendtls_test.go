package route

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

const secureYAML = `kind: Service
metadata: {name: vault}
spec: {clusterIP: 10.0.0.7, ports: [
  {port: 443, name: a, appProtocol: HTTPS}, {port: 8443, name: b}, {port: 80, name: c, appProtocol: kubernetes.io/wss}]}`

// tlsOf is a BackendTLSPolicy for the Service vault, or a port of it.
func tlsOf(name, section, validation string) string {
	return fmt.Sprintf("kind: BackendTLSPolicy\nmetadata: {name: %s, generation: 3}\nspec:\n"+
		"  targetRefs: [{group: '', kind: Service, name: vault%s}]\n  validation: {%s}", name, section, validation)
}

// roots is a ConfigMap with a certificate.
func roots(name, text string) string {
	return "kind: ConfigMap\nmetadata: {name: " + name + "}\ndata:\n  ca.crt: |\n    " + strings.ReplaceAll(text, "\n", "\n    ")
}

const (
	caRef   = "caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]"
	byCA    = caRef + ", hostname: vault.example"
	section = ", sectionName: "
)

// accepted are the conditions of a policy at the Gateway web.
func accepted(t *testing.T, status *Status, name string) string {
	t.Helper()
	all := status.TLSPolicies[named(name)]
	if len(all) != 1 || all[0].AncestorRef.Name != "web" || *all[0].AncestorRef.Namespace != "shop" || *all[0].AncestorRef.Kind != "Gateway" ||
		all[0].ControllerName != ControllerName || all[0].Conditions[0].ObservedGeneration != 3 {
		t.Errorf("%s: %+v", name, all)
		return ""
	}
	return conditionOf(all[0].Conditions, "Accepted") + ", " + conditionOf(all[0].Conditions, "ResolvedRefs")
}

// A backend with a policy is called by TLS, and not at all if the policy is not valid.
func TestBackendTLS(t *testing.T) {
	t.Parallel()
	cert := testCert(t)
	const allGood, notValid = "True Accepted, True ResolvedRefs", "False Invalid, True ResolvedRefs"
	const noCA = "False NoValidCACertificate, False InvalidCACertificateRef"
	broken := strings.Replace(cert, "MII", "AAA", 1)
	for _, tt := range []struct{ validation, want string }{
		{byCA, allGood},
		{"wellKnownCACertificates: System, hostname: vault.example", allGood},
		{byCA + ", subjectAltNames: [{type: Hostname, hostname: '*.b.example'}, {type: URI, uri: 'spiffe://a/b'}]", allGood},
		{
			"caCertificateRefs: [{kind: ConfigMap, name: absent, group: ''}, {kind: ConfigMap, name: ca, group: ''}], hostname: vault.example",
			"True Accepted, False InvalidCACertificateRef",
		},
		{"caCertificateRefs: [{kind: ConfigMap, name: absent, group: ''}], hostname: a.example", noCA},
		{"caCertificateRefs: [{kind: ConfigMap, name: broken, group: ''}], hostname: a.example", noCA},
		{"caCertificateRefs: [{kind: ConfigMap, name: key, group: ''}], hostname: a.example", noCA},
		{"caCertificateRefs: [{kind: ConfigMap, name: text, group: ''}], hostname: a.example", noCA},
		{"caCertificateRefs: [{kind: Secret, name: ca, group: ''}], hostname: a.example", "False NoValidCACertificate, False InvalidKind"},
		{"caCertificateRefs: [{kind: ConfigMap, name: ca, group: x}], hostname: a.example", "False NoValidCACertificate, False InvalidKind"},
		{"hostname: a.example", notValid},
		{"wellKnownCACertificates: Other, hostname: a.example", notValid},
		{byCA + ", wellKnownCACertificates: System", notValid},
		{caRef + ", hostname: '*.example'", notValid},
		{caRef + ", hostname: 10.0.0.1", notValid},
		{caRef + ", hostname: ''", notValid},
		{byCA + ", subjectAltNames: [{type: Hostname}]", notValid},
		{byCA + ", subjectAltNames: [{type: URI, uri: a}]", notValid},
		{byCA + ", subjectAltNames: [{type: IP}]", notValid},
		{byCA + ", subjectAltNames: [" + strings.Repeat("{type: Hostname, hostname: a.example}, ", maxAltNames+1) + "]", notValid},
	} {
		table, status := compile(t, gatewayYAML, secureYAML, tlsOf("p", "", tt.validation), roots("ca", cert), roots("broken", cert+"\n"+broken),
			roots("text", "none"), roots("key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"),
			routeOf("r", nil, "{backendRefs: [{name: vault, port: 443}]}"))
		if got := accepted(t, status, "p"); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.validation, got, tt.want)
		}
		if got := conditionOf(status.Routes[named("r")][0].Conditions, "ResolvedRefs"); got != "True ResolvedRefs" {
			t.Errorf("%s: route %s", tt.validation, got)
		}
		d := table.Match(80, request("GET http://a.example/"), 0)
		if !strings.HasPrefix(tt.want, "True") {
			if d.Status != 500 || d.Reason != ReasonInvalidTLS || !strings.Contains(d.Message, "Policy shop/p") || len(table.BackendTLS()) != 0 {
				t.Errorf("%s: %+v", tt.validation, d)
			}
			continue
		}
		by := d.Backend.TLS
		if by == nil || by.ServerName != "vault.example" || by.Policy != named("p") ||
			(by.Roots == nil) != strings.Contains(tt.validation, "System") ||
			len(by.Names) != len(by.URIs) || len(table.BackendTLS()) != 1 || table.BackendTLS()[0] != by {
			t.Errorf("%s: %+v", tt.validation, d)
		}
	}
}

// Of two policies for one target the older one counts, even if it is not valid; one that names the port comes before one that does not.
func TestBackendTLSConflicts(t *testing.T) {
	t.Parallel()
	ca := roots("ca", testCert(t))
	route := routeOf("r", nil, "{matches: [{path: {value: /a}}], backendRefs: [{name: vault, port: 443}]}",
		"{backendRefs: [{name: vault, port: 8443}]}")
	policy := func(name, section, host string) string { return tlsOf(name, section, caRef+", hostname: "+host) }
	const ok, conflicted = "True Accepted, True ResolvedRefs", "False Conflicted, True ResolvedRefs"
	for name, tt := range map[string]struct {
		policies []string
		p, q     string
		a, b     string // server names of both ports
	}{
		"by name": {[]string{policy("q", "", "q.example"), policy("p", "", "p.example")}, ok, conflicted, "p.example", "p.example"},
		"by age": {
			[]string{created("2026-01-01", policy("q", "", "q.example")), policy("p", "", "p.example")}, conflicted, ok, "q.example", "q.example",
		},
		"port and all": {[]string{policy("q", section+"a", "q.example"), policy("p", "", "p.example")}, ok, ok, "q.example", "p.example"},
		"one port":     {[]string{policy("q", section+"a", "q.example"), policy("p", section+"a", "p.example")}, ok, conflicted, "p.example", ""},
		"two ports":    {[]string{policy("q", section+"b", "q.example"), policy("p", section+"a", "p.example")}, ok, ok, "p.example", "q.example"},
		"first is not valid": {
			[]string{policy("q", "", "q.example"), policy("p", "", "'*'")},
			"False Invalid, True ResolvedRefs", conflicted,
			"invalid_tls", "invalid_tls",
		},
		"no such port": {
			[]string{policy("q", section+"z", "q.example"), policy("p", "", "p.example")},
			ok, "False TargetNotFound, True ResolvedRefs",
			"p.example", "p.example",
		},
	} {
		table, status := compile(t, append(tt.policies, gatewayYAML, secureYAML, ca, route)...)
		if p, q := accepted(t, status, "p"), accepted(t, status, "q"); p != tt.p || q != tt.q {
			t.Errorf("%s: %s; %s", name, p, q)
		}
		for path, want := range map[string]string{"a": tt.a, "b": tt.b} {
			d := table.Match(80, request("GET http://a.example/"+path), 0)
			got := string(d.Reason)
			if d.Backend != nil && d.Backend.TLS != nil {
				got = d.Backend.TLS.ServerName
			}
			if got != want {
				t.Errorf("%s: port %s: %q, want %q", name, path, got, want)
			}
		}
	}
}

// A port with an appProtocol of TLS needs a policy; of gRPC it is called by HTTP/2 and TLS, and mirrors too.
func TestBackendTLSProtocols(t *testing.T) {
	t.Parallel()
	ca := roots("ca", testCert(t))
	for _, port := range []string{"443", "80"} {
		_, status := compile(t, gatewayYAML, secureYAML, routeOf("r", nil, "{backendRefs: [{name: vault, port: "+port+"}]}"))
		if got := conditionOf(status.Routes[named("r")][0].Conditions, "ResolvedRefs"); got != "False UnsupportedProtocol" {
			t.Errorf("%s: %s", port, got)
		}
	}
	mirror := "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: vault, port: 443}}}], backendRefs: [{name: vault, port: 8443}]"
	table, status := compile(t, gatewayYAML, secureYAML, ca, tlsOf("p", "", byCA), grpcOf("g", []string{"g.example"}, "{"+mirror+"}"),
		routeOf("r", []string{"h.example"}, "{"+mirror+"}"))
	if d := call("/a/b").decide(table, "g.example"); d.Backend.TLS == nil || d.Backend.Protocol != H2C ||
		d.Mirrors[0].TLS == nil || d.Mirrors[0].Protocol != H2C {
		t.Errorf("%+v", d)
	}
	if d := table.Match(80, request("GET http://h.example/"), 0); d.Backend.TLS == nil || d.Backend.Protocol != HTTP1 || d.Mirrors[0].TLS == nil {
		t.Errorf("%+v", d)
	}
	if got := accepted(t, status, "p"); got != "True Accepted, True ResolvedRefs" {
		t.Error(got)
	}
	// One that no route needs has no ancestor, and nothing is mirrored past one that is not valid.
	table, status = compile(t, gatewayYAML, secureYAML, servicesYAML, tlsOf("p", section+"a", "hostname: a.example"),
		routeOf("r", nil, "{"+toCart+"}"))
	if len(status.TLSPolicies[named("p")]) != 0 || len(table.BackendTLS()) != 0 {
		t.Errorf("%+v", status.TLSPolicies)
	}
	table, _ = compile(t, gatewayYAML, secureYAML, tlsOf("p", section+"a", "hostname: a.example"), routeOf("r", nil, "{"+mirror+"}"))
	if d := table.Match(80, request("GET http://h.example/"), 0); d.Kind != Forward || len(d.Mirrors) != 0 {
		t.Errorf("%+v", d)
	}
}

// Keys are the same for what is verified alike, and roots are kept from Table to Table.
func TestBackendTLSKeys(t *testing.T) {
	t.Parallel()
	cert := testCert(t)
	var kept Kept
	route := routeOf("r", nil, "{backendRefs: [{name: vault, port: 443}]}")
	key := func(policy, ca string) *BackendTLS {
		table, _ := kept.Compile(read(t, gatewayYAML, secureYAML, route, policy, roots("ca", ca)))
		return table.BackendTLS()[0]
	}
	first := key(tlsOf("p", "", byCA), cert)
	if again := key(tlsOf("q", "", byCA), cert); again.Key != first.Key || again.Roots != first.Roots {
		t.Error("the same is another one in the next Table")
	}
	keys := map[string]bool{first.Key: true}
	for _, other := range []*BackendTLS{
		key(tlsOf("p", "", byCA), testCert(t)), key(tlsOf("p", "", caRef+", hostname: b.example"), cert),
		key(tlsOf("p", "", byCA+", subjectAltNames: [{type: Hostname, hostname: a.example}]"), cert),
		key(tlsOf("p", "", "wellKnownCACertificates: System, hostname: vault.example"), cert),
	} {
		keys[other.Key] = true
	}
	if len(keys) != 5 {
		t.Errorf("%d keys", len(keys))
	}
	if key(tlsOf("p", "", "wellKnownCACertificates: System, hostname: vault.example"), cert); len(kept.pools) != 0 {
		t.Errorf("%d pools are kept", len(kept.pools))
	}
}

// No text of a ConfigMap makes reading fail, or gives certificates where there are none.
func FuzzRoots(f *testing.F) {
	f.Add("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")
	f.Add(testCert(f))
	f.Fuzz(func(t *testing.T, text string) {
		c := newTLSPolicies(newCompiler(&Manifests{}, new(Kept)))
		m := read(t, roots("ca", "x")).ConfigMaps[0]
		m.Data[rootsKey] = text
		got, wrong := rootsOf(m)
		if (wrong == "") != (got != "") {
			t.Errorf("%q, %q", got, wrong)
		}
		if wrong == "" && c.pool([]string{got}).Equal(c.pool([]string{"none"})) {
			t.Errorf("no certificate in %q", text)
		}
	})
}

// testCert is a certificate in PEM form.
func testCert(t testing.TB) string {
	t.Helper()
	_, text, _ := strings.Cut(secretYAML(t, "shop", "x"), "tls.crt: ")
	text, _, _ = strings.Cut(text, ",")
	out, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
