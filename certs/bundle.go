package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// MaxBundle bounds a trust bundle, in bytes.
const MaxBundle = 1 << 20

// maxBundleCerts bounds the roots of one bundle: a rotation needs two, a federation a handful.
const maxBundleCerts = 32

// maxRSABits bounds RSA keys that a peer may make us verify with: the cost of
// a verification grows with the square of the size.
const maxRSABits = 8192

// ParseBundle reads the roots of a trust domain: a SPIFFE bundle (JWKS, begins with "{")
// or PEM certificates, at most MaxBundle bytes.
func ParseBundle(td spiffeid.TrustDomain, data []byte) (*x509bundle.Bundle, error) {
	data = trimText(data)
	switch {
	case len(data) == 0:
		return nil, errors.New("trust bundle is empty: it must hold PEM certificates or a SPIFFE JWKS document")
	case len(data) > MaxBundle:
		return nil, fmt.Errorf("trust bundle of %d bytes is larger than %d", len(data), MaxBundle)
	}
	roots, err := parseRoots(td, data)
	if err != nil {
		return nil, fmt.Errorf("trust bundle: %w", err)
	}
	bundle := x509bundle.New(td)
	for i, c := range roots {
		if err := checkRoot(c); err != nil {
			return nil, fmt.Errorf("trust bundle, certificate %d: %w", i+1, err)
		}
		bundle.AddX509Authority(c)
	}
	return bundle, nil
}

// ReadCertificates reads the certificates of a file: PEM, or the roots of a SPIFFE JWKS document.
func ReadCertificates(path string) ([]*x509.Certificate, error) {
	data, _, err := readFile(path)
	if err != nil {
		return nil, err
	}
	list, err := ParseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// ParseCertificates is ReadCertificates of a text.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	if data = trimText(data); len(data) == 0 {
		return nil, errors.New("it is empty")
	}
	return parseRoots(spiffeid.TrustDomain{}, data)
}

func parseRoots(td spiffeid.TrustDomain, data []byte) ([]*x509.Certificate, error) {
	if data[0] != '{' {
		roots, err := parsePEM(data)
		if err != nil {
			return nil, fmt.Errorf("PEM: %w", err)
		}
		return roots, nil
	}
	known, ignored, err := x509Keys(data)
	if err != nil {
		return nil, fmt.Errorf("SPIFFE JWKS: %w", err)
	}
	doc, err := spiffebundle.Parse(td, known)
	if err != nil {
		return nil, fmt.Errorf("SPIFFE JWKS: %w", err)
	}
	roots := doc.X509Authorities()
	switch {
	case len(roots) == 0 && ignored > 0:
		return nil, fmt.Errorf(`SPIFFE JWKS: %d keys with "use": "x509-svid" have types other than RSA, ECDSA and Ed25519, and there is no other`,
			ignored)
	case len(roots) == 0:
		return nil, errors.New(`SPIFFE JWKS: no key with "use": "x509-svid"`)
	case len(roots) > maxBundleCerts:
		return nil, fmt.Errorf("SPIFFE JWKS: more than %d certificates", maxBundleCerts)
	}
	return roots, nil
}

// x509Keys is the document with those keys alone that are roots of X.509-SVIDs. Keys of other uses, or of types that are not known, have
// to be ignored (SPIFFE Trust Domain and Bundle, 4.2.1 and 4.2.2), also those that are malformed. Ignored are those for X.509-SVIDs.
func x509Keys(data []byte) (known []byte, ignored int, err error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, 0, err
	}
	if doc.Keys == nil {
		return nil, 0, errors.New(`it has no "keys"`)
	}
	keep := []json.RawMessage{}
	for _, key := range doc.Keys {
		var k struct{ Use, Kty, Crv string }
		switch err := json.Unmarshal(key, &k); {
		case err != nil || k.Use != "x509-svid":
		case k.Kty == "RSA", k.Kty == "EC" && strings.HasPrefix(k.Crv, "P-"), k.Kty == "OKP" && k.Crv == "Ed25519":
			keep = append(keep, key)
		default:
			ignored++
		}
	}
	known, err = json.Marshal(map[string]any{"keys": keep})
	return known, ignored, err
}

// isRoot is true for a self-signed certificate. Nothing depends on that signature, so it may be of SHA-1, as those of many old roots
// are, which CheckSignatureFrom refuses.
func isRoot(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

func checkRoot(c *x509.Certificate) error {
	if !c.BasicConstraintsValid || !c.IsCA {
		return fmt.Errorf("%q is not a CA certificate", c.Subject)
	}
	switch c.PublicKey.(type) { // others, also those that x509 reads as nil, have no form as a JWK
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		return checkKeySize(c)
	default:
		return fmt.Errorf("%q has a key that is none of RSA, ECDSA and Ed25519", c.Subject)
	}
}

// Format is how a bundle is written.
type Format string

// The two formats of a trust bundle.
const (
	JWKS Format = "jwks"
	PEM  Format = "pem"
)

// MarshalBundle writes what ParseBundle reads.
func MarshalBundle(b *x509bundle.Bundle, f Format) ([]byte, error) {
	switch f {
	case JWKS:
		return spiffebundle.FromX509Bundle(b).Marshal()
	case PEM:
		return encodeCerts(b.X509Authorities()), nil
	default:
		return nil, fmt.Errorf("unknown trust bundle format %q, known are %q and %q", f, JWKS, PEM)
	}
}
