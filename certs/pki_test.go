package certs_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net/url"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/eastway/eastway/certs"
)

// authority is a CA that signs whatever a test wants, unlike certs.CA.
type authority struct {
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	above *authority // nil for a root
}

func testKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func parse(t *testing.T, tmpl, parent *x509.Certificate, pub *ecdsa.PublicKey, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newAuthority is a CA below above, or a root; permitted are its URI name constraints.
func newAuthority(t *testing.T, above *authority, name string, permitted ...string) *authority {
	t.Helper()
	a := &authority{key: testKey(t), above: above}
	tmpl := &x509.Certificate{
		Subject:               subject(name),
		NotBefore:             time.Now().Add(-24 * time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		PermittedURIDomains:   permitted,
	}
	parent, key := tmpl, a.key
	if above != nil {
		parent, key = above.cert, above.key
	}
	a.cert = parse(t, tmpl, parent, &a.key.PublicKey, key)
	return a
}

// leaf is a certificate with this SPIFFE ID, with all CAs below the root; edit may spoil it.
func (a *authority) leaf(t *testing.T, id string, edit func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	tmpl := leafTemplate(t, id)
	if edit != nil {
		edit(tmpl)
	}
	key := testKey(t)
	c := tls.Certificate{PrivateKey: key}
	c.Certificate = append(c.Certificate, parse(t, tmpl, a.cert, &key.PublicKey, a.key).Raw)
	for ; a.above != nil; a = a.above {
		c.Certificate = append(c.Certificate, a.cert.Raw)
	}
	return c
}

// leafTemplate is a certificate with this SPIFFE ID.
func leafTemplate(t *testing.T, id string) *x509.Certificate {
	t.Helper()
	u, err := url.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	return &x509.Certificate{
		Subject:     subject("leaf"),
		URIs:        []*url.URL{u},
		NotBefore:   time.Now().Add(-time.Hour),
		NotAfter:    time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func subject(name string) pkix.Name { return pkix.Name{CommonName: name} }

// signed is a certificate with any kind of key, as DER.
func signed(t *testing.T, tmpl, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func testPeer(t *testing.T, id string, roots ...*x509.Certificate) certs.Peer {
	t.Helper()
	sid, err := spiffeid.FromString(id)
	if err != nil {
		t.Fatal(err)
	}
	name, err := certs.ClusterName(sid)
	if err != nil {
		t.Fatal(err)
	}
	return certs.Peer{Name: name, ID: sid, Bundle: x509bundle.FromX509Authorities(sid.TrustDomain(), roots)}
}

// svidOf is a source that always gives this certificate.
func svidOf(t *testing.T, c tls.Certificate) *x509svid.SVID {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	s, err := x509svid.ParseRaw(bytes.Join(c.Certificate, nil), key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func pemCerts(ders ...[]byte) []byte {
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

func pemKey(t *testing.T, key crypto.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
