package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

const (
	// DefaultTTL of an SVID: short, because nothing revokes it.
	DefaultTTL = 24 * time.Hour
	// MinTTL is for trying out renewal.
	MinTTL = time.Second
	// MaxTTL is for machines whose certificates are renewed by hand.
	MaxTTL = 366 * 24 * time.Hour
	// svidBackdate lets peers whose clocks are a little behind accept a new SVID at once.
	svidBackdate = time.Minute
	// caLife is that of a cluster's CA, a shared root and an intermediate (cut at its root's end).
	caLife = 10 * 365 * 24 * time.Hour
	// caBackdate lets a CA work that was made on a machine whose clock was hours ahead.
	caBackdate = 24 * time.Hour
)

// Options of a CA.
type Options struct {
	// TrustDomain of a new CA; one that exists must be of this trust domain. Zero:
	// OpenCA only opens what is there.
	TrustDomain spiffeid.TrustDomain
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (o Options) clock() time.Time {
	if o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

// CA issues the SVIDs of one trust domain. It is immutable and safe for concurrent use.
type CA struct {
	td spiffeid.TrustDomain
	// chain is the CA's own certificate and, below a shared root, what leads up to the root.
	chain []*x509.Certificate
	key   crypto.Signer
	roots *x509bundle.Bundle
	now   func() time.Time
	// created by the call that returned it.
	created bool
}

// NewCA makes a self-signed CA in memory: ECDSA P-256, valid for 10 years, able to issue
// for its own trust domain only (critical URI name constraint).
func NewCA(o Options) (*CA, error) {
	if err := checkTrustDomain(o.TrustDomain); err != nil {
		return nil, fmt.Errorf("certs: make CA: %w", err)
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	cert, err := selfSign(o.TrustDomain, key, o.clock())
	if err != nil {
		return nil, err
	}
	roots := []*x509.Certificate{cert}
	ca, err := newCA(roots, roots, key, o)
	if err != nil {
		return nil, err
	}
	ca.created = true
	return ca, nil
}

// newCA checks that the parts fit. The trust domain is the one that the certificate is constrained to.
func newCA(chain, roots []*x509.Certificate, key crypto.Signer, o Options) (*CA, error) {
	cert := chain[0]
	if err := checkRoot(cert); err != nil {
		return nil, err
	}
	if err := sameKey(cert, key); err != nil {
		return nil, err
	}
	if len(cert.PermittedURIDomains) != 1 {
		return nil, fmt.Errorf("CA certificate %q permits the URI domains %q, it must be constrained to exactly one trust domain "+
			"(X.509 name constraint: `eastway certs init` makes such a CA, docs/certificates.md shows how others do)",
			cert.Subject, cert.PermittedURIDomains)
	}
	td, err := spiffeid.TrustDomainFromString(strings.ToLower(cert.PermittedURIDomains[0]))
	if err != nil {
		return nil, fmt.Errorf("CA certificate %q: URI name constraint: %w", cert.Subject, err)
	}
	if want := o.TrustDomain; !want.IsZero() && want != td {
		return nil, fmt.Errorf("CA is of trust domain %q, not of %q", td, want)
	}
	return &CA{td: td, chain: chain, key: key, roots: x509bundle.FromX509Authorities(td, roots), now: o.clock}, nil
}

func sameKey(cert *x509.Certificate, key crypto.Signer) error {
	pub, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !pub.Equal(key.Public()) {
		return fmt.Errorf("certificate %q and key do not belong together: restore both from the same backup", cert.Subject)
	}
	return nil
}

// TrustDomain is the only one that the CA issues for.
func (ca *CA) TrustDomain() spiffeid.TrustDomain { return ca.td }

// Bundle is what peers need to verify what the CA issues.
func (ca *CA) Bundle() *x509bundle.Bundle { return ca.roots.Clone() }

// Created is true when the call that returned the CA made it, instead of finding it.
func (ca *CA) Created() bool { return ca.created }

// Certificate is the CA's own.
func (ca *CA) Certificate() *x509.Certificate { return ca.chain[0] }

// Issue makes a key and an SVID for a cluster of the CA's trust domain. A ttl of 0 is DefaultTTL;
// it never outlives the CA.
func (ca *CA) Issue(name string, ttl time.Duration) (*x509svid.SVID, error) {
	id, err := ClusterID(ca.td, name)
	if err != nil {
		return nil, fmt.Errorf("certs: issue certificate: %w", err)
	}
	return ca.issue(id, name, ttl, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
}

// IssueNode does the same for the cluster's node agents. Their SVID is good for clients only.
func (ca *CA) IssueNode(ttl time.Duration) (*x509svid.SVID, error) {
	id, err := NodeID(ca.td)
	if err != nil {
		return nil, fmt.Errorf("certs: issue certificate: %w", err)
	}
	return ca.issue(id, "node", ttl, x509.ExtKeyUsageClientAuth)
}

func (ca *CA) issue(id spiffeid.ID, name string, ttl time.Duration, usages ...x509.ExtKeyUsage) (*x509svid.SVID, error) {
	if ttl == 0 {
		ttl = DefaultTTL
	}
	if ttl < MinTTL || ttl > MaxTTL {
		return nil, fmt.Errorf("certs: issue certificate: TTL %s is not between %s and %s", ttl, MinTTL, MaxTTL)
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	now := ca.now()
	end, err := ca.valid(now)
	if err != nil {
		return nil, fmt.Errorf("certs: issue certificate for %q: %w", id, err)
	}
	tmpl := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Eastway"}, CommonName: name},
		URIs:                  []*url.URL{id.URL()},
		NotBefore:             now.Add(-svidBackdate),
		NotAfter:              earlier(now.Add(ttl), end),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           usages,
		BasicConstraintsValid: true,
	}
	cert, err := sign(tmpl, ca.chain[0], key.Public(), ca.key)
	if err != nil {
		return nil, fmt.Errorf("certs: issue certificate for %q: %w", id, err)
	}
	svid := &x509svid.SVID{ID: id, Certificates: append([]*x509.Certificate{cert}, ca.presented()...), PrivateKey: key}
	if err := ca.check(svid, now); err != nil {
		return nil, fmt.Errorf("certs: issue certificate for %q: peers would refuse it: %w", id, err)
	}
	return svid, nil
}

// valid returns until when all is that SVIDs are presented with, or which certificate of it is not.
func (ca *CA) valid(now time.Time) (end time.Time, err error) {
	end = ca.chain[0].NotAfter
	for _, c := range ca.chain[:max(1, len(ca.presented()))] {
		switch {
		case now.After(c.NotAfter):
			return end, &VerifyError{Reason: ReasonExpired, Err: fmt.Errorf("the CA certificate %q expired at %s, our clock says %s: "+
				"replace it by a renewed one, peers need its root", c.Subject, stamp(c.NotAfter), stamp(now))}
		case now.Add(ClockSkew).Before(c.NotBefore):
			return end, &VerifyError{Reason: ReasonNotYetValid, Err: fmt.Errorf("the CA certificate %q is valid from %s, our clock says %s: "+
				"check the clock", c.Subject, stamp(c.NotBefore), stamp(now))}
		}
		end = earlier(end, c.NotAfter)
	}
	return end, nil
}

// equal is true for the same certificates and key.
func (ca *CA) equal(other *CA) bool {
	same := func(a, b *x509.Certificate) bool { return a.Equal(b) }
	return slices.EqualFunc(ca.chain, other.chain, same) && ca.roots.Equal(other.roots) // the keys are those of the certificates
}

// presented is the chain without a root, which peers have already.
func (ca *CA) presented() []*x509.Certificate {
	for i, c := range ca.chain {
		if ca.roots.HasX509Authority(c) {
			return ca.chain[:i]
		}
	}
	return ca.chain
}

// check verifies the SVID as a peer will, so that a broken CA is noticed here first.
func (ca *CA) check(svid *x509svid.SVID, now time.Time) error {
	usage := x509.ExtKeyUsageServerAuth
	if svid.ID.Path() == nodePath {
		usage = x509.ExtKeyUsageClientAuth
	}
	t := newTrusted(Peer{Name: path.Base(svid.ID.Path()), ID: svid.ID, Bundle: ca.roots})
	return t.verifyChain(svid.Certificates, t.roots, usage, now)
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("certs: make key: %w", err)
	}
	return key, nil
}

// caTemplate of a CA that may issue leaves of one trust domain, nothing else.
func caTemplate(cn string, td spiffeid.TrustDomain, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{Organization: []string{"Eastway"}, CommonName: commonName(cn, td)},
		// The SPIFFE ID of a trust domain itself, see the X.509-SVID standard, section 4.2.
		URIs:                        []*url.URL{td.ID().URL()},
		NotBefore:                   now.Add(-caBackdate),
		NotAfter:                    now.Add(caLife),
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLenZero:              true,
		PermittedDNSDomainsCritical: true, // the whole extension, in spite of its name
		PermittedURIDomains:         []string{td.Name()},
	}
}

// maxCommonName is X.520's bound, in bytes.
const maxCommonName = 64

func commonName(cn string, td spiffeid.TrustDomain) string {
	if long := cn + " " + td.Name(); len(long) <= maxCommonName {
		return long
	}
	return cn
}

func selfSign(td spiffeid.TrustDomain, key crypto.Signer, now time.Time) (*x509.Certificate, error) {
	tmpl := caTemplate("Eastway CA", td, now)
	cert, err := sign(tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("certs: make CA of trust domain %q: %w", td, err)
	}
	return cert, nil
}

func sign(tmpl, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
