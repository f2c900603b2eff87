package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// Config of an Authenticator.
type Config struct {
	// Source returns the own identity, and is called for each handshake. Required: a CASource, a FileSource,
	// or any other x509svid.Source.
	Source x509svid.Source
	// Peers are trusted from the start; SetPeers replaces them.
	Peers []Peer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Registerer takes the metrics; nil means none.
	Registerer prometheus.Registerer
}

// Validate names the first field that is not usable.
func (c Config) Validate() error {
	if c.Source == nil {
		return errors.New("certs: Config.Source is required")
	}
	return nil
}

// Authenticator makes TLS configurations that present our identity and accept the
// trusted peers of the moment of the handshake. It is safe for concurrent use.
type Authenticator struct {
	source  x509svid.Source
	now     func() time.Time
	peers   atomic.Pointer[peerSet]
	metrics *bundleMetrics
}

// peerSet is immutable.
type peerSet struct {
	byName map[string]*trusted
	byID   map[spiffeid.ID]*trusted
}

// NewAuthenticator fails on an invalid Config or Peer, or when its metrics are registered already.
func NewAuthenticator(c Config) (*Authenticator, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	a := &Authenticator{source: c.Source, now: c.Now}
	if a.now == nil {
		a.now = time.Now
	}
	m, err := newBundleMetrics(c.Registerer)
	if err != nil {
		return nil, err
	}
	a.metrics = m
	if err := a.SetPeers(c.Peers); err != nil {
		return nil, err
	}
	return a, nil
}

// SetPeers replaces all peers at once, for handshakes that begin from now on. Connections that
// are open stay so: their owner closes those for which PeerName returns an error now. If one of
// the peers is invalid nothing changes.
func (a *Authenticator) SetPeers(peers []Peer) error {
	set := &peerSet{
		byName: make(map[string]*trusted, len(peers)),
		byID:   make(map[spiffeid.ID]*trusted, len(peers)),
	}
	for _, p := range peers {
		if err := p.validate(); err != nil {
			return fmt.Errorf("certs: peer %q: %w", p.Name, err)
		}
		if set.byName[p.Name] != nil {
			return fmt.Errorf("certs: peer %q is there twice", p.Name)
		}
		t := newTrusted(p)
		set.byName[p.Name], set.byID[p.ID] = t, t
	}
	a.metrics.set(a.peers.Swap(set), peers)
	return nil
}

// ClientConfig is for dialing that peer only, over TCP or QUIC. It stays valid when peers change; the
// handshake with a peer that was removed meanwhile fails.
func (a *Authenticator) ClientConfig(peer string) (*tls.Config, error) {
	if _, err := a.expected(peer); err != nil {
		return nil, err
	}
	c := a.baseConfig()
	// Names and system roots mean nothing here, VerifyConnection does it all.
	c.InsecureSkipVerify = true
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return a.certificate() }
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		t, err := a.expected(peer)
		if err != nil {
			return err
		}
		return a.verify(&cs, t, x509.ExtKeyUsageServerAuth)
	}
	return c, nil
}

// ServerConfig is for accepting every trusted peer, over TCP or QUIC.
func (a *Authenticator) ServerConfig() *tls.Config {
	c := a.baseConfig()
	c.ClientAuth = tls.RequireAnyClientCert
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.certificate() }
	c.VerifyConnection = func(cs tls.ConnectionState) error { return a.verify(&cs, nil, x509.ExtKeyUsageClientAuth) }
	return c
}

// baseConfig leaves curves and cipher suites to Go: its default key exchange is hybrid post-quantum.
// Verification sits in VerifyConnection, which unlike VerifyPeerCertificate is called on resumed sessions
// too; tickets are off all the same: lanes live long, and a resumed one would save next to nothing.
func (a *Authenticator) baseConfig() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{ALPN},
		SessionTicketsDisabled: true,
		Time:                   a.now,
	}
}

// PeerName is the peer whose ID a finished handshake proved, if what was presented then leads to that peer's roots of now,
// whatever has expired since. The connection must have been made with ClientConfig or ServerConfig.
func (a *Authenticator) PeerName(cs tls.ConnectionState) (string, error) {
	if !cs.HandshakeComplete {
		return "", errors.New("certs: the handshake is not complete, no identity is proved yet")
	}
	id, err := checkConnection(&cs, ALPN)
	if err != nil {
		return "", err
	}
	t, err := a.byID(id)
	if err != nil {
		return "", err
	}
	// A connection outlives the certificates that it began with; the handshake has judged their times.
	if err := t.verifyChain(cs.PeerCertificates, t.timeless, x509.ExtKeyUsageAny, within(cs.PeerCertificates, a.now())); err != nil {
		return "", err
	}
	return t.Name, nil
}

// verify checks a connection against one peer, or against whichever it claims to be.
func (a *Authenticator) verify(cs *tls.ConnectionState, want *trusted, usage x509.ExtKeyUsage) error {
	id, err := checkConnection(cs, ALPN)
	if err != nil {
		if v, ok := errors.AsType[*VerifyError](err); ok && want != nil {
			v.Peer = want.Name
		}
		return err
	}
	if want == nil {
		if want, err = a.byID(id); err != nil {
			return err
		}
	}
	switch {
	case id.TrustDomain() != want.ID.TrustDomain():
		return want.refuse(ReasonWrongTrustDomain, id, "it presented %q, but its ID is %q: another trust domain", id, want.ID)
	case id != want.ID:
		return want.refuse(ReasonWrongID, id, "it presented %q, but its ID is %q", id, want.ID)
	}
	return want.verifyChain(cs.PeerCertificates, want.roots, usage, a.now())
}

func (a *Authenticator) expected(peer string) (*trusted, error) {
	if t := a.peers.Load().byName[peer]; t != nil {
		return t, nil
	}
	return nil, &VerifyError{
		Reason: ReasonUnknownPeer,
		Peer:   peer,
		Err:    errors.New("no such peer is trusted (any more): import its Peer manifest"),
	}
}

// byID finds the peer that has exactly this ID. If there is none the error distinguishes an unknown ID
// from one that resembles a known one, as after a CA was replaced or a cluster renamed.
func (a *Authenticator) byID(id spiffeid.ID) (*trusted, error) {
	set := a.peers.Load()
	if t := set.byID[id]; t != nil {
		return t, nil
	}
	if name, err := ClusterName(id); err == nil && set.byName[name] != nil {
		t := set.byName[name]
		return nil, t.refuse(ReasonWrongTrustDomain, id, "it presented %q, but its ID is %q: another trust domain", id, t.ID)
	}
	for _, t := range set.byName {
		if t.ID.TrustDomain() == id.TrustDomain() {
			return nil, &VerifyError{
				Reason: ReasonWrongID,
				ID:     id,
				Err:    refusal("%q is not the ID of any peer; in its trust domain %q is", id, t.ID),
			}
		}
	}
	return nil, &VerifyError{
		Reason: ReasonUnknownPeer,
		ID:     id,
		Err:    refusal("%q is no peer of this cluster: import its Peer manifest if it should be one", id),
	}
}

// certificate is our own, looked up for each handshake: that is how renewal reaches new
// connections and leaves open ones alone.
func (a *Authenticator) certificate() (*tls.Certificate, error) {
	return ownCertificate(a.source, a.now())
}

func ownCertificate(source x509svid.Source, now time.Time) (*tls.Certificate, error) {
	own := func(err error) error { return &VerifyError{Reason: ReasonOwnCertificate, Err: err} }
	svid, err := source.GetX509SVID()
	switch {
	case err != nil:
		return nil, own(fmt.Errorf("this side has no certificate: %w", err))
	case len(svid.Certificates) == 0:
		return nil, own(errors.New("this side has no certificate"))
	}
	leaf := svid.Certificates[0]
	if now.After(leaf.NotAfter.Add(ClockSkew)) {
		return nil, own(fmt.Errorf(
			"this side's certificate expired at %s, its clock says %s: check the clock, and the log for failed renewals",
			stamp(leaf.NotAfter), stamp(now)))
	}
	c := &tls.Certificate{PrivateKey: svid.PrivateKey, Leaf: leaf}
	for _, cert := range svid.Certificates {
		c.Certificate = append(c.Certificate, cert.Raw)
	}
	return c, nil
}
