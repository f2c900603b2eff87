package route

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// readClient reads the certificate that a Gateway shows to backends with TLS. One that cannot be used is reported; backends that ask for it
// refuse the connection then.
func (g *gateway) readClient(c *compiler) {
	ref := g.clientRef()
	if ref == nil {
		return
	}
	cert, reason, wrong := c.certificate(g.name.Namespace, ref)
	if wrong != "" {
		if reason == gatewayv1.ListenerReasonInvalidCertificateRef {
			reason = gatewayv1.ListenerConditionReason(gatewayv1.GatewayReasonInvalidClientCertificateRef)
		}
		g.unresolved.add(string(reason), "spec.tls.backend.clientCertificateRef: %s", wrong)
	}
	g.client = cert
}

// clientRef is the Gateway's reference to a client certificate; nil: it has none.
func (g *gateway) clientRef() *gatewayv1.SecretObjectReference {
	if t := g.object.Spec.TLS; t != nil && t.Backend != nil {
		return t.Backend.ClientCertificateRef
	}
	return nil
}

// clientConditions are those about client certificates: to backends, and of clients. They are there if the Gateway says something of these.
func (g *gateway) clientConditions() (out []metav1.Condition) {
	if g.clientRef() != nil {
		out = append(out, newCondition(gatewayv1.GatewayConditionResolvedRefs, !g.unresolved.some(),
			g.unresolved.or(string(gatewayv1.GatewayReasonResolvedRefs)), g.unresolved.text()))
	}
	if g.isInsecure() {
		out = append(out, newCondition(gatewayv1.GatewayConditionInsecureFrontendValidationMode, true, gatewayv1.GatewayReasonConfigurationChanged,
			"spec.tls.frontend has the mode AllowInsecureFallback: clients without a valid certificate are let in"))
	}
	return out
}

// isInsecure: clients without a valid certificate are let in at a port where certificates are asked for.
func (g *gateway) isInsecure() bool {
	t := g.object.Spec.TLS
	if t == nil || t.Frontend == nil {
		return false
	}
	all := []gatewayv1.TLSConfig{t.Frontend.Default}
	for i := range t.Frontend.PerPort {
		all = append(all, t.Frontend.PerPort[i].TLS)
	}
	return slices.ContainsFunc(all, func(c gatewayv1.TLSConfig) bool {
		return c.Validation != nil && c.Validation.Mode == gatewayv1.AllowInsecureFallback
	})
}

// validation of clients at a listener's port; nil: there is none.
func (l *listener) validation() *gatewayv1.FrontendTLSValidation {
	t := l.gateway.object.Spec.TLS
	if t == nil || t.Frontend == nil {
		return nil
	}
	for i := range t.Frontend.PerPort {
		if t.Frontend.PerPort[i].Port == l.spec.Port {
			return t.Frontend.PerPort[i].TLS.Validation
		}
	}
	return t.Frontend.Default.Validation
}

// readClients reads what clients of a listener with TLS have to prove. A listener that cannot verify them is not served.
func (l *listener) readClients(c *compiler) {
	v := l.validation()
	if v == nil {
		return
	}
	out := &ClientAuth{Optional: v.Mode == gatewayv1.AllowInsecureFallback}
	if !out.Optional && v.Mode != "" && v.Mode != gatewayv1.AllowValidOnly {
		l.invalid.add(string(gatewayv1.ListenerReasonUnsupportedValue),
			"the Gateway's spec.tls.frontend: mode: %s is not supported: use AllowValidOnly or AllowInsecureFallback", v.Mode)
	}
	var texts []string
	for i := range v.CACertificateRefs[:min(len(v.CACertificateRefs), maxTargets)] {
		text, reason, wrong := l.readClientRoots(c, &v.CACertificateRefs[i])
		if wrong != "" {
			l.unresolved.add(string(reason), "the Gateway's spec.tls.frontend: caCertificateRefs[%d]: %s", i, wrong)
			continue
		}
		texts = append(texts, text)
	}
	if len(texts) == 0 {
		l.invalid.add(string(gatewayv1.ListenerReasonNoValidCACertificate),
			"the Gateway's spec.tls.frontend: no CA certificate can be used: see the condition ResolvedRefs")
		return
	}
	out.Roots = c.tls.pool(texts)
	l.clients = out
}

// readClientRoots reads the certificates of a ConfigMap, or says what is wrong with the reference.
func (l *listener) readClientRoots(
	c *compiler, ref *gatewayv1.ObjectReference,
) (text string, reason gatewayv1.ListenerConditionReason, wrong string) {
	from := l.gateway.name.Namespace
	name := nameIn(from, ref.Namespace, ref.Name)
	if ref.Kind != kindConfigMap || ref.Group != "" {
		return "", gatewayv1.ListenerReasonInvalidCACertificateKind, fmt.Sprintf("%s is not supported: use a ConfigMap", ref.Kind)
	}
	if !c.grants.allow(kindGateway, from, "", kindConfigMap, name) {
		return "", gatewayv1.ListenerReasonRefNotPermitted,
			fmt.Sprintf("no ReferenceGrant in namespace %s lets Gateways of namespace %s use ConfigMap %s", name.Namespace, from, name.Name)
	}
	text, wrong = rootsOf(c.tls.configMaps[name])
	return text, gatewayv1.ListenerReasonInvalidCACertificateRef, prefixed(fmt.Sprintf("ConfigMap %s ", name), wrong)
}

// chainKey names a chain of certificates.
func chainKey(chain [][]byte) string {
	h := sha256.New()
	for _, der := range chain {
		_, _ = h.Write(der) // DER says where it ends
	}
	return hex.EncodeToString(h.Sum(nil))
}
