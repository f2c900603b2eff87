package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// Between the node agents and the proxies of a cluster, the cluster's own trust domain is all that is trusted. HTTP/1.1 is spoken
// there, so that neither side can be mistaken for one of a tunnel.
const nodeALPN = "http/1.1"

// Own is an identity with the trust bundle of its own cluster: a CASource or a FileSource.
type Own interface {
	x509svid.Source
	// Bundle is nil where there is none.
	Bundle() *x509bundle.Bundle
}

// NodeServerConfig is for a proxy to accept the node agents of its own cluster and no other client: those with exactly the NodeID of
// the proxy's trust domain, below the bundle of the moment. A nil now means time.Now.
func NodeServerConfig(own Own, now func() time.Time) *tls.Config {
	c := nodeConfig(now)
	c.ClientAuth = tls.RequestClientCert // VerifyConnection requires it, and says so to operators
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return ownCertificate(own, c.Time()) }
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		return verifyOwn(own, &cs, NodeID, x509.ExtKeyUsageClientAuth, c.Time())
	}
	return c
}

// NodeClientConfig is for a node agent to dial the proxies of its own cluster, which has that name, and nothing else. A nil now
// means time.Now.
func NodeClientConfig(own Own, cluster string, now func() time.Time) (*tls.Config, error) {
	if err := checkName(cluster); err != nil {
		return nil, err
	}
	c := nodeConfig(now)
	// Names and system roots mean nothing here, VerifyConnection does it all.
	c.InsecureSkipVerify = true
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return ownCertificate(own, c.Time()) }
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		proxies := func(td spiffeid.TrustDomain) (spiffeid.ID, error) { return ClusterID(td, cluster) }
		return verifyOwn(own, &cs, proxies, x509.ExtKeyUsageServerAuth, c.Time())
	}
	return c, nil
}

// nodeConfig follows Authenticator.baseConfig.
func nodeConfig(now func() time.Time) *tls.Config {
	if now == nil {
		now = time.Now
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{nodeALPN}, SessionTicketsDisabled: true, Time: now,
	}
}

// verifyOwn checks that the other side has an ID of the own trust domain, below the own bundle.
func verifyOwn(
	own Own, cs *tls.ConnectionState, want func(spiffeid.TrustDomain) (spiffeid.ID, error), usage x509.ExtKeyUsage, now time.Time,
) error {
	id, err := checkConnection(cs, nodeALPN)
	if err != nil {
		return err
	}
	bundle := own.Bundle()
	if bundle == nil || bundle.Empty() {
		return &VerifyError{
			Reason: ReasonOwnCertificate,
			Err:    errors.New("this side has no trust bundle: " + svidBundleFile + " is missing beside its certificate"),
		}
	}
	expected, err := want(bundle.TrustDomain())
	if err != nil {
		return &VerifyError{Reason: ReasonOwnCertificate, Err: err}
	}
	t := newTrusted(Peer{ID: expected, Bundle: bundle})
	switch {
	case id.TrustDomain() != expected.TrustDomain():
		return t.refuse(ReasonWrongTrustDomain, id, "it presented %q, but only %q is accepted here: another trust domain", id, expected)
	case id != expected:
		return t.refuse(ReasonWrongID, id, "it presented %q, but only %q is accepted here", id, expected)
	}
	err = t.verifyChain(cs.PeerCertificates, t.roots, usage, now)
	if Reason(err) == ReasonUnknownAuthority { // there is no Peer manifest to import
		return t.refuse(ReasonUnknownAuthority, id, "issued by %q, which leads to no root of this cluster: "+
			"while its CA is replaced, both sides need the new certificates, which kubelets mount within minutes", cs.PeerCertificates[0].Issuer)
	}
	return err
}
