package drills

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// authority is a CA that no cluster has made: of what is outside.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// newAuthority is valid for a day.
func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "outside"}, NotBefore: now.Add(-48 * time.Hour),
		NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	a := &authority{key: key}
	a.certificate, err = x509.ParseCertificate(der)
	return a, err
}

// readAuthority reads what text has written.
func readAuthority(certificate, key []byte) (*authority, error) {
	a := new(authority)
	c, _ := pem.Decode(certificate)
	k, _ := pem.Decode(key)
	if c == nil || k == nil {
		return nil, errors.New("the CA of what is outside is no PEM")
	}
	var errs [2]error
	a.certificate, errs[0] = x509.ParseCertificate(c.Bytes)
	a.key, errs[1] = x509.ParseECPrivateKey(k.Bytes)
	return a, errors.Join(errs[:]...)
}

// text of the certificate and its key, in PEM.
func (a *authority) text() (certificate, key string, err error) {
	return text(a.certificate.Raw, a.key)
}

func text(der []byte, key *ecdsa.PrivateKey) (certificate, secret string, err error) {
	k, err := x509.MarshalECPrivateKey(key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: k})), err
}

// issue a certificate for a name, which is valid until then.
func (a *authority) issue(name string, until time.Time) (certificate, key string, err error) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(until.Unix()), NotBefore: until.Add(-36 * time.Hour), NotAfter: until, DNSNames: []string{name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &own.PublicKey, a.key)
	if err != nil {
		return "", "", fmt.Errorf("issue a certificate for %s: %w", name, err)
	}
	return text(der, own)
}
