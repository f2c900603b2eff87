package lab

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificateTime is how long a cluster's certificates live: longer than any lab.
const certificateTime = 365 * 24 * time.Hour

// authority signs the certificates of one cluster.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// keyPair is a certificate and its key, PEM.
type keyPair struct{ certificate, key []byte }

func newAuthority(cluster string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("lab: make the key of %s's CA: %w", cluster, err)
	}
	own := certificateFor(cluster+" CA", nil)
	own.IsCA, own.BasicConstraintsValid = true, true
	own.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, own, own, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("lab: make the certificate of %s's CA: %w", cluster, err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("lab: read the certificate of %s's CA: %w", cluster, err)
	}
	return &authority{certificate: certificate, key: key}, nil
}

// certificateFor is the template of one for both ends of TLS. Kubernetes takes the common
// name as the user and the organization as its group.
func certificateFor(user string, groups []string, hosts ...string) *x509.Certificate {
	const skew = time.Hour // of clocks; clusters of one computer have none, but it may be set back
	t := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: user, Organization: groups},
		NotBefore:    time.Now().Add(-skew),
		NotAfter:     time.Now().Add(certificateTime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, host)
		}
	}
	return t
}

func serial() *big.Int {
	const bytes = 16
	random := make([]byte, bytes)
	_, _ = rand.Read(random) // never fails, says its documentation
	return new(big.Int).SetBytes(random)
}

// issue a certificate for a user of the API in groups, which is also a server's for hosts.
func (a *authority) issue(user string, groups []string, hosts ...string) (keyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return keyPair{}, fmt.Errorf("lab: make the key of %s: %w", user, err)
	}
	der, err := x509.CreateCertificate(rand.Reader, certificateFor(user, groups, hosts...), a.certificate, key.Public(), a.key)
	if err != nil {
		return keyPair{}, fmt.Errorf("lab: make the certificate of %s: %w", user, err)
	}
	text, err := encodeKey(key)
	return keyPair{certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key: text}, err
}

// pair is the CA's own.
func (a *authority) pair() (keyPair, error) {
	text, err := encodeKey(a.key)
	return keyPair{certificate: a.bundle(), key: text}, err
}

// bundle is what trusts the CA, PEM.
func (a *authority) bundle() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

func encodeKey(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("lab: encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// write a pair as NAME.crt and NAME.key.
func (p keyPair) write(folder, name string) error {
	if err := writeFile(filepath.Join(folder, name+".crt"), p.certificate); err != nil {
		return err
	}
	return writeFile(filepath.Join(folder, name+".key"), p.key)
}

// writeFile for root alone, with the folders that lead there.
func writeFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("lab: make a folder: %w", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("lab: write a file: %w", err)
	}
	return nil
}
