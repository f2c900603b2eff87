package serve

import (
	"crypto/tls"
	"fmt"
	"slices"
	"time"

	"github.com/eastway/eastway/internal/entry/route"
)

const (
	protoHTTP1 = "http/1.1"
	protoHTTP2 = "h2"
)

// tlsConfig is that of a port. Certificates are those of the table at the time of each handshake.
func (s *Server) tlsConfig(number uint16) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{protoHTTP2, protoHTTP1},
		// Of TLS 1.2: those with forward secrecy and authenticated encryption, which HTTP/2 asks for (RFC 9113, 9.2.2).
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return certificate(s.current().Listener(number, hello.ServerName), hello), nil
		},
	}
}

// certificate is the first that the client can use, else the first; nil if there is none for the name, which crypto/tls answers with the
// alert unrecognized_name.
func certificate(l *route.Listener, hello *tls.ClientHelloInfo) *tls.Certificate {
	if l == nil || len(l.Certificates) == 0 {
		return nil
	}
	for _, c := range l.Certificates {
		if hello.SupportsCertificate(c.Pair) == nil {
			return c.Pair
		}
	}
	return l.Certificates[0].Pair
}

// expiring are the certificates in use that end soon, or have ended.
func (s *Server) expiring(now time.Time) (out []string) {
	for secret, end := range expiries(s.current()) {
		switch left := end.Sub(now); {
		case left <= 0:
			out = append(out, fmt.Sprintf("certificate of Secret %s has ended at %s: replace it", secret, end.Format(time.RFC3339)))
		case left < expiryWarning:
			out = append(out, fmt.Sprintf("certificate of Secret %s ends at %s: replace it", secret, end.Format(time.RFC3339)))
		}
	}
	return out
}

// expiries are the ends of all certificates in use, by Secret.
func expiries(t Table) map[string]time.Time {
	out := make(map[string]time.Time)
	for _, p := range t.Ports() {
		for _, l := range p.Listeners {
			for _, c := range append(slices.Clone(l.Certificates), l.Client) {
				if c != nil && c.Pair != nil && c.Pair.Leaf != nil {
					out[c.Secret.String()] = c.Pair.Leaf.NotAfter
				}
			}
		}
	}
	return out
}
