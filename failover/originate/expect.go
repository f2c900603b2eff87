package originate

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// expectation is what the certificate of an endpoint has to be.
type expectation struct {
	// names are DNS names, IP addresses or URIs, of which one is enough. Empty with spiffe: any ID of the own trust domain.
	names    []string
	spiffe   bool
	roots    *x509.CertPool
	identity Identity
	now      func() time.Time
}

// serverName is the one that an endpoint gets.
func serverName(t *discovery.TLS, host string) string {
	switch {
	case t.SNI != "":
		return t.SNI
	case host != "":
		return strings.TrimSuffix(host, ".")
	}
	return strings.TrimSuffix(t.Host, ".")
}

// expected are the names that count.
func expected(t *discovery.TLS, server string) []string {
	if len(t.Names) > 0 || t.Mode == v1alpha1.TLSSPIFFE {
		return t.Names
	}
	return []string{server}
}

// String is for people.
func (e *expectation) String() string {
	if e.spiffe && len(e.names) == 0 {
		return "an SVID of this cluster's trust domain"
	}
	return strings.Join(e.names, " or ")
}

// verify judges a connection, also one that resumes a session.
func (e *expectation) verify(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("the endpoint presents no certificate") // not reached: package tls requires it
	}
	if e.spiffe {
		return e.verifySVID(cs.PeerCertificates)
	}
	leaf := cs.PeerCertificates[0]
	among := x509.NewCertPool()
	for _, c := range cs.PeerCertificates[1:] {
		among.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: e.roots, Intermediates: among, CurrentTime: e.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(e.names, func(name string) bool { return isFor(leaf, name) }) {
		return &nameError{presented(leaf), e.String()}
	}
	return nil
}

// isFor is true when a certificate is for a name.
func isFor(leaf *x509.Certificate, name string) bool {
	if !strings.Contains(name, "://") {
		return leaf.VerifyHostname(name) == nil
	}
	for _, u := range leaf.URIs {
		if u.String() == name {
			return true
		}
	}
	return false
}

// presented are the names that a certificate has.
func presented(leaf *x509.Certificate) string {
	all := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		all = append(all, ip.String())
	}
	for _, u := range leaf.URIs {
		all = append(all, u.String())
	}
	if len(all) == 0 {
		return "no name"
	}
	return strings.Join(all, ", ")
}

// verifySVID requires an ID of the own trust domain, below the own roots.
func (e *expectation) verifySVID(certificates []*x509.Certificate) error {
	bundle := e.identity.Bundle()
	if bundle == nil || bundle.Empty() {
		return &ownError{errors.New("this cluster's trust bundle is not known: ca.crt is missing beside its certificate")}
	}
	id, err := x509svid.IDFromCert(certificates[0])
	if err != nil {
		return &nameError{presented(certificates[0]), e.String()}
	}
	_, bad := certs.LeafID(certificates[0])
	switch {
	case bad != nil:
		return &leafError{bad}
	case len(e.names) > 0 && !slices.Contains(e.names, id.String()):
		return &nameError{id.String(), e.String()}
	case id.TrustDomain() != bundle.TrustDomain():
		return &nameError{id.String(), fmt.Sprintf("an SVID of the trust domain %s", bundle.TrustDomain())}
	}
	among := x509.NewCertPool()
	for _, c := range certificates[1:] {
		among.AddCert(c)
	}
	roots := x509.NewCertPool()
	for _, c := range bundle.X509Authorities() {
		roots.AddCert(c)
	}
	_, err = certificates[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: among, CurrentTime: e.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return err
}
