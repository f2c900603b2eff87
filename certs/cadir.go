package certs

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/eastway/eastway/internal/atomicfile"
)

// Files of a directory that holds a CA.
const (
	caCertFile = "ca.crt" // the CA's certificate, and what leads up to its root
	caKeyFile  = "ca.key"
	// rootCertFile is there below a shared root only: the roots, which are the cluster's trust bundle.
	rootCertFile = "root.crt"
	rootKeyFile  = "root.key" // only in the directory of a shared root
)

// OpenCA opens the CA in dir, or makes it when there is none and o names a trust domain. Nothing
// is ever overwritten, and processes that start at once on one directory end up with the same CA:
// each file appears complete or not at all, and the second process uses the files of the first.
func OpenCA(dir string, o Options) (*CA, error) {
	ca, err := loadCA(dir, o)
	if errors.Is(err, errNoCA) && !o.TrustDomain.IsZero() {
		ca, err = makeCA(dir, o)
	}
	if err != nil {
		return nil, fmt.Errorf("certs: cluster CA in %s: %w", dir, err)
	}
	return ca, nil
}

// errNoCA: the directory holds no CA certificate.
var errNoCA error = noCAError{}

type noCAError struct{}

func (noCAError) Error() string { return "there is none: make it with `eastway certs init`" }

// Is makes it an fs.ErrNotExist for callers.
func (noCAError) Is(target error) bool { return target == fs.ErrNotExist }

func loadCA(dir string, o Options) (*CA, error) {
	if there(dir, svidCertFile) && !there(dir, caKeyFile) {
		return nil, fmt.Errorf("it holds no CA but a certificate that one has issued (%s): use it as --svid, or take another directory",
			svidCertFile)
	}
	chain, err := readCerts(filepath.Join(dir, caCertFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errNoCA
	case err != nil:
		return nil, err
	}
	key, err := readKey(filepath.Join(dir, caKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		// Not ErrNotExist: a CA without its key is not none, and no other is made in its place.
		return nil, fmt.Errorf("%s is there but %s is not: restore the key from a backup (without it move %s away; then the CA is a new one, "+
			"and peers trust it when they have imported it)", caCertFile, caKeyFile, dir)
	}
	if err != nil {
		return nil, err
	}
	roots, err := loadRoots(dir, chain)
	if err != nil {
		return nil, err
	}
	ca, err := newCA(chain, roots, key, o)
	if err != nil {
		return nil, err
	}
	if err := ca.leadsToRoots(); err != nil {
		return nil, fmt.Errorf("%s does not lead up to %s: %w", caCertFile, rootCertFile, err)
	}
	return ca, nil
}

func there(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

func loadRoots(dir string, chain []*x509.Certificate) ([]*x509.Certificate, error) {
	path := filepath.Join(dir, rootCertFile)
	roots, err := readCerts(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return roots, err
	}
	if !isRoot(chain[0]) {
		return nil, fmt.Errorf("%s is an intermediate, but %s with its root is missing", caCertFile, path)
	}
	return chain[:1], nil
}

// makeCA writes the key first and the certificate last: a CA whose creation was interrupted has no
// certificate, so that it is not trusted yet, and the next start continues with the same key.
func makeCA(dir string, o Options) (*CA, error) {
	if err := checkTrustDomain(o.TrustDomain); err != nil {
		return nil, err
	}
	if there(dir, rootCertFile) {
		return nil, fmt.Errorf("%s is there but %s is not: finish with `eastway certs init --root-dir`, or restore the file",
			rootCertFile, caCertFile)
	}
	key, err := makeKey(dir, caKeyFile)
	if err != nil {
		return nil, err
	}
	cert, err := selfSign(o.TrustDomain, key, o.clock())
	if err != nil {
		return nil, err
	}
	return publishCA(dir, cert, o)
}

// publishCA makes the certificate appear, which is the moment from which the CA exists.
func publishCA(dir string, cert *x509.Certificate, o Options) (*CA, error) {
	err := atomicfile.Create(filepath.Join(dir, caCertFile), encodeCerts([]*x509.Certificate{cert}), certMode)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	ca, loadErr := loadCA(dir, o)
	if loadErr != nil {
		return nil, loadErr
	}
	ca.created = err == nil
	return ca, nil
}

// makeKey takes the key that is there, or makes one.
func makeKey(dir, name string) (crypto.Signer, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("make directory: %w", atomicfile.Explain(err))
	}
	path := filepath.Join(dir, name)
	if key, err := readKey(path); !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	data, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	if err := atomicfile.Create(path, data, keyMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return readKey(path)
}
