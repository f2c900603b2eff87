package certs

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/eastway/eastway/internal/clip"
)

// expectation is what the own ID has to be.
type expectation struct {
	// form shows it, for errors.
	form string
	// check returns what is wrong with an ID.
	check func(spiffeid.ID) error
}

// clusterOf expects the ID of the cluster with that name; "" is any.
func clusterOf(name string) expectation {
	e := expectation{form: "spiffe://TRUSTDOMAIN" + idPrefix + name, check: func(id spiffeid.ID) error {
		in, err := ClusterName(id)
		if err == nil && name != "" && in != name {
			err = fmt.Errorf("it is of cluster %q (%s), this is cluster %q", in, id, name)
		}
		return err
	}}
	if name == "" {
		e.form += "NAME"
	}
	return e
}

// nodeOnly expects the ID of node agents.
func nodeOnly() expectation {
	return expectation{form: "spiffe://TRUSTDOMAIN" + nodePath, check: func(id spiffeid.ID) error {
		if id.Path() != nodePath {
			return fmt.Errorf("SPIFFE ID %q is not of the form spiffe://TRUSTDOMAIN%s", id, nodePath)
		}
		return checkTrustDomain(id.TrustDomain())
	}}
}

// fileIdentity is immutable.
type fileIdentity struct {
	svid   *x509svid.SVID
	bundle *x509bundle.Bundle // nil without ca.crt
	// first is the one that expires first of those that peers do not have: the certificate or an intermediate.
	first *x509.Certificate
	// doubt is why those who know the bundle would not accept the SVID, whatever the time; nil: they would.
	doubt error
}

func parseIdentity(expect expectation, cert, key, bundle []byte) (*fileIdentity, error) {
	id, err := parsePublic(expect, cert, bundle)
	if err != nil {
		return nil, err
	}
	signer, err := parseKey(key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", svidKeyFile, err)
	}
	if err := sameKey(id.svid.Certificates[0], signer); err != nil {
		return nil, fmt.Errorf("%s, %s: %w", svidCertFile, svidKeyFile, err)
	}
	id.svid.PrivateKey = signer
	return id, nil
}

// parsePublic reads all but the key.
func parsePublic(expect expectation, cert, bundle []byte) (*fileIdentity, error) {
	chain, err := parseChain(cert)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", svidCertFile, err)
	}
	svid, err := parseOwn(expect, chain)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", svidCertFile, err)
	}
	id := &fileIdentity{svid: svid}
	defer id.setFirst()
	if len(bundle) == 0 {
		return id, nil
	}
	if id.bundle, err = ParseBundle(svid.ID.TrustDomain(), bundle); err != nil {
		return nil, fmt.Errorf("%s: %w", svidBundleFile, err)
	}
	id.doubt = CheckOwn(svid, id.bundle)
	return id, nil
}

func (id *fileIdentity) setFirst() {
	for _, c := range id.svid.Certificates {
		anchor := id.bundle != nil && id.bundle.HasX509Authority(c)
		if id.first == nil || !anchor && c.NotAfter.Before(id.first.NotAfter) {
			id.first = c
		}
	}
}

// parseOwn checks what does not depend on any bundle.
func parseOwn(expect expectation, chain []*x509.Certificate) (*x509svid.SVID, error) {
	leaf := chain[0]
	if leaf.IsCA && slices.ContainsFunc(chain, func(c *x509.Certificate) bool { return !c.IsCA }) {
		return nil, fmt.Errorf("it begins with the CA certificate %q: the proxy's own certificate has to be the first, and those of its CAs follow",
			leaf.Subject)
	}
	if leaf.IsCA {
		return nil, fmt.Errorf("it holds a CA certificate, %q: a proxy needs one that the CA issued to it, or the directory as --ca", leaf.Subject)
	}
	id, err := checkLeaf(leaf)
	if err == nil {
		err = expect.check(id)
	}
	switch {
	case err != nil && len(leaf.URIs) == 1 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: it needs exactly one URI as subject alternative name (SAN): %s", err, expect.form)
	case len(chain) > maxChain:
		return nil, fmt.Errorf("a chain of %d certificates is longer than %d, which is what peers accept", len(chain), maxChain)
	}
	for i, c := range chain[1:] {
		if !c.IsCA || c.KeyUsage&x509.KeyUsageCertSign == 0 {
			return nil, fmt.Errorf("certificate %d, %q, is not a CA certificate (basic constraint CA, key usage keyCertSign): "+
				"after the proxy's own come those of its CAs only", i+2, c.Subject)
		}
	}
	return &x509svid.SVID{ID: id, Certificates: chain}, nil
}

// CheckOwn returns why peers that have this bundle would refuse the SVID, whatever the time, and how to repair it.
func CheckOwn(svid *x509svid.SVID, bundle *x509bundle.Bundle) error {
	chain := svid.Certificates
	if err := checkUsage(svid); err != nil {
		return err
	}
	t := newTrusted(Peer{ID: svid.ID, Bundle: bundle})
	err := t.verifyChain(chain, t.timeless, x509.ExtKeyUsageAny, within(chain, time.Now()))
	v, ok := errors.AsType[*VerifyError](err)
	if !ok {
		return err
	}
	switch v.Reason {
	case ReasonUnknownAuthority:
		return unrooted(chain, bundle)
	case ReasonUnconstrainedIntermediate:
		return fmt.Errorf("peers would refuse the certificate: %w. docs/certificates.md shows how to make one", v.Err)
	}
	return fmt.Errorf("peers would refuse the certificate: %w", v.Err)
}

// checkUsage is for certificates that are restricted to fewer uses than a proxy, or a node agent, has for them.
func checkUsage(svid *x509svid.SVID) error {
	leaf := svid.Certificates[0]
	has := func(u x509.ExtKeyUsage) bool {
		return slices.Contains(leaf.ExtKeyUsage, u) || slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny)
	}
	switch {
	case len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) == 0:
		return nil
	case !has(x509.ExtKeyUsageClientAuth):
		return errors.New("peers would refuse the certificate when this side dials: " +
			"it lacks the extended key usage clientAuth (`usages: [client auth, server auth]` of cert-manager)")
	case !has(x509.ExtKeyUsageServerAuth) && svid.ID.Path() != nodePath:
		return errors.New("peers would refuse the certificate when they dial this side: " +
			"it lacks the extended key usage serverAuth (`usages: [client auth, server auth]` of cert-manager)")
	}
	return nil
}

// unrooted explains a chain that leads to no root of the bundle.
func unrooted(chain []*x509.Certificate, bundle *x509bundle.Bundle) error {
	at := chain[0]
	for { // as far as the chain leads up
		i := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return c != at && at.CheckSignatureFrom(c) == nil })
		if i < 0 {
			break
		}
		at, chain = chain[i], slices.Delete(slices.Clone(chain), i, i+1)
	}
	issuer := clip.Text(at.Issuer.String(), maxSubject)
	for _, root := range bundle.X509Authorities() {
		if bytes.Equal(root.RawSubject, at.RawIssuer) {
			return fmt.Errorf("peers would refuse the certificate: %q in %s has another key than the one that signed %q: "+
				"is %s from before the CA was replaced?", issuer, svidBundleFile, clip.Text(at.Subject.String(), maxSubject), svidBundleFile)
		}
	}
	return fmt.Errorf("peers would refuse the certificate: that of its issuer %q is neither in %s, as an intermediate after the proxy's own, "+
		"nor in %s, as a root: add it", issuer, svidCertFile, svidBundleFile)
}

// ReadPublic reads the trust bundle of the cluster with that name, beside its certificate, from the directory of a FileSource. It
// needs no key. The doubt is that of CheckOwn.
func ReadPublic(dir, cluster string) (bundle *x509bundle.Bundle, doubt, err error) {
	var data [2][]byte
	for i, name := range []string{svidCertFile, svidBundleFile} {
		if data[i], _, err = readFile(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %s and %s are needed, with the certificate and its roots", err, svidCertFile, svidBundleFile)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("certs: certificate in %s: %w", dir, err)
		}
	}
	id, err := parsePublic(clusterOf(cluster), data[0], data[1])
	if err == nil && id.bundle == nil {
		err = fmt.Errorf("%s is empty: it must hold the roots", svidBundleFile)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("certs: certificate in %s: %w", dir, err)
	}
	return id.bundle, id.doubt, nil
}
