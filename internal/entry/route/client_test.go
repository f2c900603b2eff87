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
