package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// Secret is a CA or an SVID as a Kubernetes Secret holds it, in PEM.
type Secret struct {
	// Cert is the certificate, followed by what leads up to its root.
	Cert []byte
	// Key is the private key, PKCS #8.
	Key []byte
	// Roots are the trust bundle. A CA that is its own root may go without.
	Roots []byte
}

// SecretOf takes the keys tls.crt, tls.key and ca.crt.
func SecretOf(data map[string][]byte) Secret {
	return Secret{Cert: data[svidCertFile], Key: data[svidKeyFile], Roots: data[svidBundleFile]}
}

// Data is what SecretOf takes.
func (s Secret) Data() map[string][]byte {
	return map[string][]byte{svidCertFile: s.Cert, svidKeyFile: s.Key, svidBundleFile: s.Roots}
}

// ParseCA reads a cluster's CA from memory, as OpenCA does from files: a root of its own, or an intermediate below the
// roots, constrained to one trust domain. Errors name the key of the Secret.
func ParseCA(s Secret, o Options) (*CA, error) {
	ca, err := parseCA(s, o)
	if err != nil {
		return nil, fmt.Errorf("certs: cluster CA: %w", err)
	}
	return ca, nil
}

func parseCA(s Secret, o Options) (*CA, error) {
	chain, err := parsePEM(s.Cert)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", svidCertFile, err)
	}
	key, err := parseKey(s.Key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", svidKeyFile, err)
	}
	roots := chain[:1]
	if len(s.Roots) > 0 {
		if roots, err = parsePEM(s.Roots); err != nil {
			return nil, fmt.Errorf("%s: %w", svidBundleFile, err)
		}
	} else if !isRoot(chain[0]) {
		return nil, fmt.Errorf("%s is an intermediate, but %s with its root is missing", svidCertFile, svidBundleFile)
	}
	ca, err := newCA(chain, roots, key, o)
	if err != nil {
		return nil, err
	}
	if err := ca.leadsToRoots(); err != nil {
		return nil, fmt.Errorf("%s does not lead up to %s: %w", svidCertFile, svidBundleFile, err)
	}
	return ca, nil
}

// Secret is what ParseCA reads.
func (ca *CA) Secret() (Secret, error) {
	key, err := encodeKey(ca.key)
	if err != nil {
		return Secret{}, fmt.Errorf("certs: %w", err)
	}
	return Secret{Cert: encodeCerts(ca.chain), Key: key, Roots: encodeCerts(ca.roots.X509Authorities())}, nil
}

// Check returns why an SVID should be replaced: another CA issued it, or peers would refuse it now.
func (ca *CA) Check(svid *x509svid.SVID) error {
	if err := svid.Certificates[0].CheckSignatureFrom(ca.chain[0]); err != nil {
		return fmt.Errorf("certs: %q was not issued by the CA %q: %w", svid.ID, ca.chain[0].Subject, err)
	}
	if !slices.EqualFunc(svid.Certificates[1:], ca.presented(), func(a, b *x509.Certificate) bool { return a.Equal(b) }) {
		return fmt.Errorf("certs: %q is presented with other certificates than those of the CA %q, which were replaced", svid.ID, ca.chain[0].Subject)
	}
	if err := ca.check(svid, ca.now()); err != nil {
		return fmt.Errorf("certs: peers would refuse %q: %w", svid.ID, err)
	}
	return nil
}

// ParseSVID reads the certificate of the cluster with that name, and its trust bundle. The certificate may be expired.
func ParseSVID(name string, s Secret) (*x509svid.SVID, *x509bundle.Bundle, error) {
	return parseSVID(clusterOf(name), s)
}

// ParseNodeSVID does the same for the certificate of node agents.
func ParseNodeSVID(s Secret) (*x509svid.SVID, *x509bundle.Bundle, error) {
	return parseSVID(nodeOnly(), s)
}

func parseSVID(expect expectation, s Secret) (*x509svid.SVID, *x509bundle.Bundle, error) {
	id, err := parseIdentity(expect, s.Cert, s.Key, s.Roots)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("certs: certificate: %w", err)
	case id.bundle == nil:
		return nil, nil, errors.New("certs: certificate: " + svidBundleFile + " with its trust bundle is missing")
	}
	return id.svid, id.bundle, nil
}

// EncodeSVID is what ParseSVID, and a FileSource, reads.
func EncodeSVID(svid *x509svid.SVID, bundle *x509bundle.Bundle) (Secret, error) {
	key, err := encodeKey(svid.PrivateKey)
	if err != nil {
		return Secret{}, fmt.Errorf("certs: %w", err)
	}
	return Secret{Cert: encodeCerts(svid.Certificates), Key: key, Roots: encodeCerts(bundle.X509Authorities())}, nil
}

// leadsToRoots is nil for an expired CA: Issue returns that error.
func (ca *CA) leadsToRoots() error {
	opts := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		CurrentTime:   ca.now(),
	}
	for _, c := range ca.roots.X509Authorities() {
		opts.Roots.AddCert(c)
	}
	for _, c := range ca.chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := ca.chain[0].Verify(opts)
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return nil
	}
	return err
}
