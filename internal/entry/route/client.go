package route

import (
	"crypto/sha256"
	"encoding/hex"

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

// clientConditions are those about a client certificate, if the Gateway has one.
func (g *gateway) clientConditions() []metav1.Condition {
	if g.clientRef() == nil {
		return nil
	}
	return []metav1.Condition{newCondition(gatewayv1.GatewayConditionResolvedRefs, !g.unresolved.some(),
		g.unresolved.or(string(gatewayv1.GatewayReasonResolvedRefs)), g.unresolved.text())}
}

// chainKey names a chain of certificates.
func chainKey(chain [][]byte) string {
	h := sha256.New()
	for _, der := range chain {
		_, _ = h.Write(der) // DER says where it ends
	}
	return hex.EncodeToString(h.Sum(nil))
}
