package serve

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"

	"github.com/eastway/eastway/internal/descriptors"
	"github.com/eastway/eastway/internal/entry/route"
)

// secured are the transports of backends that are called by TLS: a set for each that verifies in another way, so that no connection, and no
// session, is used that was not verified like this.
type secured struct {
	gate   descriptors.Gate
	system func() *x509.CertPool // nil: that of Go

	mu sync.Mutex
	by map[secureKey]*transports
}

// secureKey is how a backend is verified, and what it sees.
type secureKey struct{ backend, client string }

// of is the set for backends that are verified like this and see that certificate, if there is one.
func (s *secured) of(t *route.BackendTLS, client *route.Certificate) *transports {
	key := secureKey{backend: t.Key, client: keyOf(client)}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.by[key]
	if out == nil {
		out = newTransports(s.gate)
		out.secure(clientTLS(t, client, s.system))
		if s.by == nil {
			s.by = make(map[secureKey]*transports)
		}
		s.by[key] = out
	}
	return out
}

// prune forgets those that are gone. Requests under way end on their connections.
func (s *secured) prune(left []*route.BackendTLS, ports []*route.Port) {
	backends, clients := make(map[string]bool, len(left)), make(map[string]bool)
	for _, t := range left {
		backends[t.Key] = true
	}
	for _, p := range ports {
		for _, l := range p.Listeners {
			clients[keyOf(l.Client)] = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.by, func(key secureKey, t *transports) bool {
		gone := !backends[key.backend] || !clients[key.client]
		if gone {
			t.closeIdle()
		}
		return gone
	})
}

func keyOf(c *route.Certificate) string {
	if c == nil {
		return ""
	}
	return c.Key
}

// secure has the transports use TLS.
func (t *transports) secure(conf *tls.Config) {
	for _, tr := range []*http.Transport{t.http1, t.brief, t.h2c} {
		tr.TLSClientConfig, tr.TLSHandshakeTimeout = conf.Clone(), dialTimeout
	}
	t.h2c.Protocols = new(http.Protocols)
	t.h2c.Protocols.SetHTTP2(true)
}

// clientTLS verifies a backend, and shows it a certificate if it asks for one. VerifyConnection is called for sessions that are resumed, too.
func clientTLS(by *route.BackendTLS, client *route.Certificate, system func() *x509.CertPool) *tls.Config {
	roots := by.Roots
	if roots == nil && system != nil {
		roots = system()
	}
	out := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: by.ServerName,
		InsecureSkipVerify: true, //nolint:gosec // verified by VerifyConnection: the name for SNI may differ from what the certificate has
		VerifyConnection: func(state tls.ConnectionState) error {
			if err := verify(by, roots, state.PeerCertificates); err != nil {
				return &untrusted{err}
			}
			return nil
		},
	}
	if client != nil {
		out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return client.Pair, nil }
	}
	return out
}

// untrusted is that a backend's certificate is not what its BackendTLSPolicy asks for.
type untrusted struct{ error }

// Unwrap is for errors.Is.
func (e *untrusted) Unwrap() error { return e.error }

// verify a backend's certificates.
func verify(by *route.BackendTLS, roots *x509.CertPool, chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return errors.New("the backend has no certificate")
	}
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	other := len(by.Names)+len(by.URIs) > 0
	if !other {
		opts.DNSName = by.ServerName
	}
	if _, err := chain[0].Verify(opts); err != nil {
		return err
	}
	if other && !hasName(by, chain[0]) {
		return fmt.Errorf("the certificate has none of the names %s", strings.Join(append(append([]string{}, by.Names...), by.URIs...), ", "))
	}
	return nil
}

// hasName: the certificate is for one of the names.
func hasName(by *route.BackendTLS, c *x509.Certificate) bool {
	for _, name := range by.Names {
		suffix, wild := strings.CutPrefix(name, "*")
		if !wild && c.VerifyHostname(name) == nil {
			return true
		}
		for _, has := range c.DNSNames {
			if has = strings.ToLower(has); wild && len(has) > len(suffix) && strings.HasSuffix(has, suffix) {
				return true
			}
		}
	}
	for _, uri := range by.URIs {
		for _, has := range c.URIs {
			if has.String() == uri {
				return true
			}
		}
	}
	return false
}

// isTLS: a backend could not be called because of TLS.
func isTLS(err error) bool {
	if _, ok := errors.AsType[*untrusted](err); ok {
		return true
	}
	_, inClear := errors.AsType[tls.RecordHeaderError](err)
	// Alerts of the other side have no type of their own.
	return inClear || strings.Contains(err.Error(), "remote error: tls: ") || strings.Contains(err.Error(), "TLS handshake timeout")
}
