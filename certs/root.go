package certs

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/eastway/eastway/internal/atomicfile"
)

// Root is a CA shared by several clusters. It signs their intermediates and nothing else;
// its key is needed for that only, and best kept offline.
type Root struct {
	cert    *x509.Certificate
	key     crypto.Signer
	created bool
}

// Certificate is the root's own.
func (r *Root) Certificate() *x509.Certificate { return r.cert }

// Created is true when OpenRoot made it.
func (r *Root) Created() bool { return r.created }

// OpenRoot opens the shared root in dir, or makes it there when create is true: root.crt, root.key.
func OpenRoot(dir string, create bool, o Options) (*Root, error) {
	r, err := loadRoot(dir)
	if errors.Is(err, fs.ErrNotExist) && create {
		r, err = makeRoot(dir, o)
	}
	if err != nil {
		return nil, fmt.Errorf("certs: shared root in %s: %w", dir, err)
	}
	return r, nil
}

func loadRoot(dir string) (*Root, error) {
	list, err := readCerts(filepath.Join(dir, rootCertFile))
	if err != nil {
		return nil, err
	}
	if err := checkRoot(list[0]); err != nil {
		return nil, err
	}
	key, err := readKey(filepath.Join(dir, rootKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		// Not ErrNotExist: a root whose key is elsewhere must not be taken for none.
		return nil, fmt.Errorf("%s is there but %s is not: bring the key to sign with it", rootCertFile, rootKeyFile)
	}
	if err != nil {
		return nil, err
	}
	if err := sameKey(list[0], key); err != nil {
		return nil, err
	}
	return &Root{cert: list[0], key: key}, nil
}

func makeRoot(dir string, o Options) (*Root, error) {
	key, err := makeKey(dir, rootKeyFile)
	if err != nil {
		return nil, err
	}
	now := o.clock()
	tmpl := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Eastway"}, CommonName: "Eastway shared root"},
		NotBefore:             now.Add(-caBackdate),
		NotAfter:              now.Add(caLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            1, // one intermediate, then leaves
	}
	cert, err := sign(tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, err
	}
	err = atomicfile.Create(filepath.Join(dir, rootCertFile), encodeCerts([]*x509.Certificate{cert}), certMode)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	r, loadErr := loadRoot(dir)
	if loadErr != nil {
		return nil, loadErr
	}
	r.created = err == nil
	return r, nil
}

// SignCA makes a cluster's CA in dir as an intermediate of the root, able to issue leaves for its own
// trust domain only. A CA that is there already is opened, if it is of that trust domain and this root.
func (r *Root) SignCA(dir string, o Options) (*CA, error) {
	ca, err := r.signCA(dir, o)
	if err != nil {
		return nil, fmt.Errorf("certs: cluster CA in %s: %w", dir, err)
	}
	if !ca.roots.HasX509Authority(r.cert) {
		return nil, fmt.Errorf("certs: cluster CA in %s is there already, and not below the root %q", dir, r.cert.Subject)
	}
	return ca, nil
}

func (r *Root) signCA(dir string, o Options) (*CA, error) {
	if err := checkTrustDomain(o.TrustDomain); err != nil {
		return nil, err
	}
	if ca, err := loadCA(dir, o); !errors.Is(err, errNoCA) {
		return ca, err
	}
	if now := o.clock(); now.After(r.cert.NotAfter) {
		return nil, fmt.Errorf("the root %q expired at %s, our clock says %s", r.cert.Subject, stamp(r.cert.NotAfter), stamp(now))
	}
	key, err := makeKey(dir, caKeyFile)
	if err != nil {
		return nil, err
	}
	tmpl := caTemplate("Eastway intermediate CA", o.TrustDomain, o.clock())
	tmpl.NotAfter = earlier(tmpl.NotAfter, r.cert.NotAfter)
	cert, err := sign(tmpl, r.cert, key.Public(), r.key)
	if err != nil {
		return nil, fmt.Errorf("sign with the root: %w", err)
	}
	if err := r.publishIn(dir); err != nil {
		return nil, err
	}
	return publishCA(dir, cert, o)
}

// publishIn puts the root beside the intermediate, before the intermediate.
func (r *Root) publishIn(dir string) error {
	path := filepath.Join(dir, rootCertFile)
	err := atomicfile.Create(path, encodeCerts([]*x509.Certificate{r.cert}), certMode)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	list, err := readCerts(path)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(list, r.cert.Equal) {
		return fmt.Errorf("%s holds another root, %q: choose another directory, or that root", path, list[0].Subject)
	}
	return nil
}
