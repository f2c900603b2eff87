package serve

import (
	"crypto/tls"
	"crypto/x509"
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
	out := &tls.Config{
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
	plain := out.Clone()
	out.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		l := s.current().Listener(number, hello.ServerName)
		if l == nil || l.Clients == nil {
			return nil, nil //nolint:nilnil // the one that there is
		}
		conf := plain.Clone()
		conf.ClientAuth, conf.ClientCAs = tls.RequireAndVerifyClientCert, l.Clients.Roots
		if l.Clients.Optional {
			conf.ClientAuth = tls.RequestClientCert
		}
		conf.SessionTicketsDisabled = true // one of a listener that verifies in another way, or not at all, must not count
		return conf, nil
	}
	return out
}

// proves is false if the connection's client has not proved what the listener asks for: it does so now, or by other certificates than at the
// time of the handshake.
func (f *front) proves(l *route.Listener) bool {
	if l == nil || l.Clients == nil || l.Clients.Optional || f.tls == nil {
		return true
	}
	roots := l.Clients.Roots
	if f.proved.Load() == roots {
		return true
	}
	if len(f.tls.PeerCertificates) == 0 {
		return false
	}
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, c := range f.tls.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := f.tls.PeerCertificates[0].Verify(opts); err != nil {
		return false
	}
	f.proved.Store(roots)
	return true
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
