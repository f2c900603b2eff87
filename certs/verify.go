package certs

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/eastway/eastway/internal/clip"
)

// ALPN is the application protocol of every Eastway connection.
const ALPN = "eastway/1"

// ClockSkew is how far the clocks of two clusters may be apart before certificates
// that are just made, or just expired, are refused.
const ClockSkew = 5 * time.Minute

const (
	// maxChain bounds what a peer presents: leaf, cluster CA, and what may lie between it and a root.
	maxChain = 5
	// maxChainBytes bounds the same in bytes; a usual chain has less than 2 KiB.
	maxChainBytes = 32 << 10
	// maxCause bounds an error of a library about what a peer presents, in bytes: it may quote it.
	maxCause = 250
	// maxSubject leaves room in clip.Short for what is written before it.
	maxSubject = 80
)

// trusted is a Peer with what verification needs prepared.
type trusted struct {
	Peer
	roots    *x509.CertPool
	timeless *x509.CertPool // the same, valid at any time
}

func newTrusted(p Peer) *trusted {
	t := &trusted{Peer: p, roots: x509.NewCertPool(), timeless: x509.NewCertPool()}
	for _, c := range p.Bundle.X509Authorities() {
		t.roots.AddCert(c)
		always := *c
		always.NotBefore, always.NotAfter = time.Time{}, time.Unix(1<<40, 0)
		t.timeless.AddCert(&always)
	}
	return t
}

// within is the time nearest to now at which the certificates were all valid.
func within(chain []*x509.Certificate, now time.Time) time.Time {
	for _, c := range chain {
		if now.After(c.NotAfter) {
			now = c.NotAfter
		}
	}
	for _, c := range chain {
		if now.Before(c.NotBefore) {
			now = c.NotBefore
		}
	}
	return now
}

// refuse makes the error of a certificate that this peer's handshake presented.
func (t *trusted) refuse(reason string, id spiffeid.ID, format string, args ...any) error {
	return &VerifyError{Reason: reason, Peer: t.Name, ID: id, Err: refusal(format, args...)}
}

// refusal is an error about what another side presented: each name and each error in it is clipped, whatever its size there.
func refusal(format string, args ...any) error {
	for i, arg := range args {
		switch v := arg.(type) {
		case error:
			args[i] = clip.Error(v, maxCause)
		case string:
			args[i] = clip.Name(v)
		case []string:
			args[i] = clip.Name(strings.Join(v, " "))
		case fmt.Stringer:
			args[i] = clip.Name(v.String())
		}
	}
	return fmt.Errorf(format, args...)
}

// checkConnection checks what does not depend on the peer.
func checkConnection(cs *tls.ConnectionState, alpn string) (spiffeid.ID, error) {
	refuse := func(reason, format string, args ...any) (spiffeid.ID, error) {
		return spiffeid.ID{}, &VerifyError{Reason: reason, Err: refusal(format, args...)}
	}
	switch {
	case cs.Version < tls.VersionTLS13:
		return refuse(ReasonTLSVersion, "%s was negotiated, TLS 1.3 is required", tls.VersionName(cs.Version))
	case cs.NegotiatedProtocol != alpn:
		return refuse(ReasonALPN, "application protocol %q was negotiated, %q is required: is the other end an Eastway proxy?",
			cs.NegotiatedProtocol, alpn)
	case len(cs.PeerCertificates) == 0:
		return refuse(ReasonNoCertificate, "the other side presented no certificate")
	case len(cs.PeerCertificates) > maxChain:
		return refuse(ReasonBadCertificate, "a chain of %d certificates is longer than %d", len(cs.PeerCertificates), maxChain)
	}
	size := 0
	for i, c := range cs.PeerCertificates {
		if err := checkKeySize(c); err != nil {
			return refuse(ReasonBadCertificate, "certificate %d: %w", i+1, err)
		}
		size += len(c.Raw)
	}
	if size > maxChainBytes {
		return refuse(ReasonBadCertificate, "a chain of %d bytes is larger than %d", size, maxChainBytes)
	}
	id, err := checkLeaf(cs.PeerCertificates[0])
	if err != nil {
		return refuse(ReasonBadCertificate, "%w", err)
	}
	return id, nil
}

// LeafID is the SPIFFE ID of a leaf, which has to be as the SPIFFE X.509-SVID standard requires it, with a key that is not too large.
func LeafID(c *x509.Certificate) (spiffeid.ID, error) {
	id, err := checkLeaf(c)
	if err == nil {
		err = checkKeySize(c)
	}
	return id, err
}

// checkLeaf requires what the SPIFFE X.509-SVID standard requires of a leaf (sections 2 to 4).
func checkLeaf(c *x509.Certificate) (spiffeid.ID, error) {
	id, err := x509svid.IDFromCert(c)
	switch {
	case err != nil:
		return spiffeid.ID{}, fmt.Errorf("not an X.509-SVID: %w", clip.Error(err, maxCause))
	case c.IsCA || c.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return spiffeid.ID{}, fmt.Errorf("not an X.509-SVID: the certificate of %q is one of a CA", clip.Name(id.String()))
	case c.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return spiffeid.ID{}, fmt.Errorf("not an X.509-SVID: the certificate of %q lacks the key usage digitalSignature", clip.Name(id.String()))
	}
	return id, nil
}

func checkKeySize(c *x509.Certificate) error {
	if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSABits {
		return fmt.Errorf("RSA key of %d bits is larger than %d", k.N.BitLen(), maxRSABits)
	}
	return nil
}

// verifyChain proves that the leaf's issuers reach up to one of the roots, which are the peer's, and that
// none of them could have been meant for another trust domain.
func (t *trusted) verifyChain(chain []*x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage, now time.Time) error {
	opts := x509.VerifyOptions{
		Roots:         roots,
		Intermediates: x509.NewCertPool(),
		KeyUsages:     []x509.ExtKeyUsage{usage},
	}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	var first error
	for _, skew := range []time.Duration{0, ClockSkew, -ClockSkew} {
		opts.CurrentTime = now.Add(skew)
		found, err := chain[0].Verify(opts)
		if err == nil {
			if err := t.checkConstraints(found); err != nil {
				return err
			}
			return t.checkDenied(chain)
		}
		if first == nil {
			first = err
		}
		if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); !ok || invalid.Reason != x509.Expired {
			break
		}
	}
	return t.explain(chain[0], first, now)
}

// checkDenied refuses what would be accepted but for the deny list.
func (t *trusted) checkDenied(chain []*x509.Certificate) error {
	if t.Denied {
		return t.refuse(ReasonDenied, t.ID, "its SPIFFE ID is in spec.denied of its Peer")
	}
	for _, c := range chain {
		for _, serial := range t.DeniedSerials {
			if c.SerialNumber.Cmp(serial) == 0 {
				return t.refuse(ReasonDenied, t.ID, "the certificate %q with serial number %s is in spec.denied of its Peer: "+
					"another certificate of the peer is accepted", c.Subject, strings.ToUpper(serial.Text(16)))
			}
		}
	}
	return nil
}

// checkConstraints wants one chain whose every CA below the anchor is held to exactly the peer's trust
// domain, by itself or by a CA above. crypto/x509 enforces constraints that are there, but lets subdomains
// through and does not ask for any: without this an intermediate of a shared root could mint any cluster's ID.
// A pinned intermediate is an anchor, so that its chain ends with it.
func (t *trusted) checkConstraints(found [][]*x509.Certificate) error {
	var loose *x509.Certificate
	for _, chain := range found {
		loose = nil
		for i := len(chain) - 1; i > 0; i-- {
			if HeldTo(chain[i], t.ID.TrustDomain()) {
				break // and with it everything below
			}
			if i < len(chain)-1 {
				loose = chain[i]
				break
			}
		}
		if loose == nil {
			return nil
		}
	}
	return t.refuse(ReasonUnconstrainedIntermediate, t.ID,
		"the intermediate CA %q is not held to trust domain %q by a URI name constraint (it permits %q): "+
			"sign it with that constraint, or put this intermediate itself into the peer's trust bundle",
		loose.Subject, t.ID.TrustDomain(), loose.PermittedURIDomains)
}

// HeldTo is true for a CA that may issue for the trust domain and no other. The case of a host is not significant (RFC 3986).
func HeldTo(c *x509.Certificate, td spiffeid.TrustDomain) bool {
	for _, d := range c.PermittedURIDomains {
		if !strings.EqualFold(d, td.Name()) {
			return false
		}
	}
	return len(c.PermittedURIDomains) > 0
}

// explain adds the remedy to an error of crypto/x509.
func (t *trusted) explain(leaf *x509.Certificate, err error, now time.Time) error {
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	if !ok {
		if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
			return t.refuse(ReasonUnknownAuthority, t.ID,
				"issued by %q, which leads to no root in the peer's trust bundle: import its current Peer manifest: %w",
				leaf.Issuer, err)
		}
		return t.refuse(ReasonBadCertificate, t.ID, "%w", err)
	}
	switch invalid.Reason {
	case x509.Expired:
		return t.explainTime(leaf, invalid.Cert, now)
	case x509.CANotAuthorizedForThisName:
		return t.refuse(ReasonWrongTrustDomain, t.ID,
			"a CA in its chain may not issue for trust domain %q: %w", t.ID.TrustDomain(), err)
	default:
		return t.refuse(ReasonBadCertificate, t.ID, "%w", err)
	}
}

func (t *trusted) explainTime(leaf, c *x509.Certificate, now time.Time) error {
	what := "certificate"
	if c != leaf {
		what = fmt.Sprintf("CA certificate %q", clip.Text(c.Subject.String(), maxSubject))
	}
	if now.Before(c.NotBefore) {
		return t.refuse(ReasonNotYetValid, t.ID,
			"%s is not yet valid by our clock: valid from %s, our clock says %s (%s early, %s are tolerated): "+
				"check the clocks of both sides",
			what, stamp(c.NotBefore), stamp(now), c.NotBefore.Sub(now).Round(time.Second), ClockSkew)
	}
	return t.refuse(ReasonExpired, t.ID,
		"%s expired at %s, our clock says %s (%s late, %s are tolerated): check its renewal and the clocks of both sides",
		what, stamp(c.NotAfter), stamp(now), now.Sub(c.NotAfter).Round(time.Second), ClockSkew)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
