package route

import (
	"strings"
	"testing"
)

// A Gateway's client certificate is that of all of its listeners, and one that cannot be used is reported at the Gateway alone.
func TestClientCertificateForBackends(t *testing.T) {
	t.Parallel()
	gateway := func(ref string) string {
		return strings.Replace(gatewayYAML, "spec:", "spec:\n  tls: {backend: {clientCertificateRef: {"+ref+"}}}", 1)
	}
	secret, far := secretYAML(t, "shop", "cert"), secretYAML(t, "far", "cert")
	grant := "kind: ReferenceGrant\nmetadata: {name: g, namespace: far}\nspec:\n  to: [{group: '', kind: Secret}]\n" +
		"  from: [{group: gateway.networking.k8s.io, namespace: shop, kind: Gateway}]"
	broken := "kind: Secret\nmetadata: {name: broken}\ntype: kubernetes.io/tls\ndata: {}"
	for _, tt := range []struct {
		ref, want string
		more      []string
	}{
		{"name: cert", "True ResolvedRefs", nil},
		{"name: cert, kind: Secret, group: ''", "True ResolvedRefs", nil},
		{"name: absent", "False InvalidClientCertificateRef", nil},
		{"name: broken", "False InvalidClientCertificateRef", nil},
		{"name: cert, kind: ConfigMap", "False InvalidClientCertificateRef", nil},
		{"name: cert, group: x", "False InvalidClientCertificateRef", nil},
		{"name: cert, namespace: far", "False RefNotPermitted", nil},
		{"name: cert, namespace: far", "True ResolvedRefs", []string{grant}},
	} {
		table, status := compile(t, append(tt.more, gateway(tt.ref), secret, far, broken)...)
		g := status.Gateways[named("web")]
		if got := conditionOf(g.Conditions, "ResolvedRefs"); got != tt.want || conditionOf(g.Conditions, "Accepted") != "True Accepted" {
			t.Errorf("%s: %+v", tt.ref, g.Conditions)
		}
		l := table.Ports()[0].Listeners[0]
		if has := l.Client != nil && l.Client.Key != "" && l.Client.Pair.Leaf != nil; has != strings.HasPrefix(tt.want, "True") {
			t.Errorf("%s: %+v", tt.ref, l.Client)
		}
	}
	_, status := compile(t, gatewayYAML)
	if got := len(status.Gateways[named("web")].Conditions); got != 2 {
		t.Errorf("%d conditions of a Gateway without a client certificate", got)
	}
}

// A listener that asks clients for a certificate has the roots of its port, else of its Gateway, and is not served without any.
func TestClientAuth(t *testing.T) {
	t.Parallel()
	secret, grant := secretYAML(t, "shop", "cert"), "kind: ReferenceGrant\nmetadata: {name: g, namespace: far}\nspec:\n"+
		"  to: [{group: '', kind: ConfigMap}]\n  from: [{group: gateway.networking.k8s.io, namespace: shop, kind: Gateway}]"
	const good = "True Accepted, True ResolvedRefs"
	refs := func(list string) string { return "{validation: {caCertificateRefs: [" + list + "]}}" }
	const ca = "{group: '', kind: ConfigMap, name: ca}"
	for name, tt := range map[string]struct {
		all, port string // of spec.tls.frontend
		want      string
		asks      bool
		more      []string
	}{
		"default":         {refs(ca), "", good, true, nil},
		"port":            {"{}", refs(ca), good, true, nil},
		"not this port":   {refs(ca), "{}", good, false, nil},
		"port before all": {refs("{group: '', kind: ConfigMap, name: absent}"), refs(ca), good, true, nil},
		"one of two":      {refs(ca + ", {group: '', kind: ConfigMap, name: absent}"), "", "True Accepted, False InvalidCACertificateRef", true, nil},
		"absent": {
			refs("{group: '', kind: ConfigMap, name: absent}"), "", "False NoValidCACertificate, False InvalidCACertificateRef", false, nil,
		},
		"kind": {
			refs("{group: '', kind: Service, name: ca}"), "", "False NoValidCACertificate, False InvalidCACertificateKind", false, nil,
		},
		"no grant": {
			refs("{group: '', kind: ConfigMap, name: ca, namespace: far}"), "", "False NoValidCACertificate, False RefNotPermitted", false, nil,
		},
		"grant":    {refs("{group: '', kind: ConfigMap, name: ca, namespace: far}"), "", good, true, []string{grant}},
		"none":     {"{validation: {caCertificateRefs: []}}", "", "False NoValidCACertificate, True ResolvedRefs", false, nil},
		"mode":     {"{validation: {mode: X, caCertificateRefs: [" + ca + "]}}", "", "False UnsupportedValue, True ResolvedRefs", false, nil},
		"insecure": {"{validation: {mode: AllowInsecureFallback, caCertificateRefs: [" + ca + "]}}", "", good, true, nil},
	} {
		perPort := ""
		if tt.port != "" {
			perPort = ", perPort: [{port: 443, tls: " + tt.port + "}]"
		}
		table, status := compile(t, append(tt.more, secret, roots("ca", testCert(t)), strings.Replace(roots("ca", testCert(t)), "{name: ca}",
			"{name: ca, namespace: far}", 1), "kind: Gateway\nmetadata: {name: web}\nspec:\n  gatewayClassName: eastway\n"+
			"  tls: {frontend: {default: "+tt.all+perPort+"}}\n  listeners:\n  - {name: h, port: 80, protocol: HTTP}\n"+
			"  - {name: s, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}")...)
		g := status.Gateways[named("web")]
		l := g.Listeners[1].Conditions
		if got := conditionOf(l, "Accepted") + ", " + conditionOf(l, "ResolvedRefs"); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
		insecure := conditionOf(g.Conditions, "InsecureFrontendValidationMode") == "True ConfigurationChanged"
		if insecure != (name == "insecure") || table.Ports()[0].Listeners[0].Clients != nil {
			t.Errorf("%s: %+v", name, g.Conditions)
		}
		if served := strings.HasPrefix(tt.want, "True"); served != (len(table.Ports()) == 2) {
			t.Errorf("%s: %d ports", name, len(table.Ports()))
		} else if served {
			clients := table.Ports()[1].Listeners[0].Clients
			if (clients != nil) != tt.asks || clients != nil && (clients.Roots == nil || clients.Optional != insecure) {
				t.Errorf("%s: %+v", name, clients)
			}
		}
	}
}
