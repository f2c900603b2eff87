package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/certs/certstest"
)

func clientConfig(t *testing.T, a *certs.Authenticator, peer string) *tls.Config {
	t.Helper()
	c, err := a.ClientConfig(peer)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTrustedPeersConnect(t *testing.T) {
	t.Parallel()
	for name, handshake := range transports {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := certstest.New(t, "cluster-a", "cluster-b")
			a, b := all["cluster-a"].Auth, all["cluster-b"].Auth
			o := handshake(t, clientConfig(t, a, "cluster-b"), b.ServerConfig())
			if o.client != nil || o.server != nil {
				t.Fatalf("client: %v, server: %v", o.client, o.server)
			}
			if got, err := b.PeerName(o.serverState); got != "cluster-a" || err != nil {
				t.Errorf("server sees %q, %v", got, err)
			}
			if got, err := a.PeerName(o.clientState); got != "cluster-b" || err != nil {
				t.Errorf("client sees %q, %v", got, err)
			}
			if o.clientState.Version != tls.VersionTLS13 || o.clientState.CurveID != tls.X25519MLKEM768 {
				t.Errorf("version %x, curve %v, want TLS 1.3 with the hybrid key exchange",
					o.clientState.Version, o.clientState.CurveID)
			}
		})
	}
}

func TestSetPeersRefusesWhatIsInconsistent(t *testing.T) {
	t.Parallel()
	all := certstest.New(t, "cluster-a", "cluster-b", "cluster-c")
	a, b, c := all["cluster-a"].Auth, all["cluster-b"].Peer, all["cluster-c"].Peer
	edit := func(f func(*certs.Peer)) certs.Peer {
		p := b
		f(&p)
		return p
	}
	for name, peers := range map[string][]certs.Peer{
		"other name":   {edit(func(p *certs.Peer) { p.Name = "x" })},
		"no ID":        {edit(func(p *certs.Peer) { p.ID = spiffeid.ID{} })},
		"no bundle":    {edit(func(p *certs.Peer) { p.Bundle = nil })},
		"empty bundle": {edit(func(p *certs.Peer) { p.Bundle = x509bundle.New(p.ID.TrustDomain()) })},
		"other bundle": {edit(func(p *certs.Peer) { p.Bundle = c.Bundle })},
		"twice":        {b, b},
	} {
		if err := a.SetPeers(peers); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := a.ClientConfig("cluster-c"); err != nil {
			t.Fatalf("%s: the peers from before are gone: %v", name, err)
		}
	}
}

func TestRemovedPeerIsUnknown(t *testing.T) {
	t.Parallel()
	all := certstest.New(t, "cluster-a", "cluster-b")
	a, b := all["cluster-a"].Auth, all["cluster-b"].Auth
	before := clientConfig(t, a, "cluster-b")
	o := overTCP(t, before, b.ServerConfig())
	setPeers(t, a)
	if _, err := a.ClientConfig("cluster-b"); certs.Reason(err) != certs.ReasonUnknownPeer {
		t.Errorf("ClientConfig: %v", err)
	}
	if got := overTCP(t, before, b.ServerConfig()); certs.Reason(got.client) != certs.ReasonUnknownPeer {
		t.Errorf("a configuration made before: %v", got.client)
	}
	if name, err := a.PeerName(o.clientState); certs.Reason(err) != certs.ReasonUnknownPeer {
		t.Errorf("PeerName: %q, %v", name, err)
	}
	setPeers(t, a, all["cluster-b"].Peer)
	if got := overTCP(t, before, b.ServerConfig()); got.client != nil {
		t.Errorf("trusted again: %v", got.client)
	}
}

// TestReplacedBundle: what was presented has to lead to the roots of now, at whatever time.
func TestReplacedBundle(t *testing.T) {
	t.Parallel()
	const id = "spiffe://b.example/eastway/cluster/cluster-b"
	old, next := newAuthority(t, nil, "old"), newAuthority(t, nil, "next")
	short := newAuthority(t, old, "intermediate", "b.example")
	renewed := *old // the same name and key, not valid before the leaf has expired
	tmpl := *old.cert
	tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(24*time.Hour), time.Now().Add(48*time.Hour)
	renewed.cert = parse(t, &tmpl, &tmpl, &old.key.PublicKey, old.key)
	all := certstest.New(t, "cluster-a")
	own, err := all["cluster-a"].CA.Issue("cluster-a", 0)
	if err != nil {
		t.Fatal(err)
	}
	var clock atomic.Int64 // how far it is off
	now := func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }
	a, err := certs.NewAuthenticator(certs.Config{Source: own, Peers: []certs.Peer{testPeer(t, id, old.cert)}, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	type roots []*x509.Certificate
	for name, leaf := range map[string]tls.Certificate{"root": old.leaf(t, id, nil), "intermediate": short.leaf(t, id, nil)} {
		setPeers(t, a, testPeer(t, id, old.cert))
		b, err := certs.NewAuthenticator(certs.Config{Source: svidOf(t, leaf), Peers: []certs.Peer{all["cluster-a"].Peer}})
		if err != nil {
			t.Fatal(err)
		}
		dialed := overTCP(t, clientConfig(t, a, "cluster-b"), b.ServerConfig())
		accepted := overTCP(t, clientConfig(t, b, "cluster-a"), a.ServerConfig())
		if dialed.client != nil || accepted.server != nil {
			t.Fatal(dialed.client, accepted.server)
		}
		for _, off := range []time.Duration{0, 12 * time.Hour, 72 * time.Hour, -72 * time.Hour} {
			clock.Store(int64(off))
			for what, test := range map[string]struct {
				roots roots
				want  string
			}{
				"as before": {roots{old.cert}, ""}, "one more": {roots{old.cert, next.cert}, ""},
				"renewed": {roots{renewed.cert}, ""}, "another": {roots{next.cert}, certs.ReasonUnknownAuthority},
			} {
				setPeers(t, a, testPeer(t, id, test.roots...))
				for way, cs := range map[string]tls.ConnectionState{"dialed": dialed.clientState, "accepted": accepted.serverState} {
					got, err := a.PeerName(cs)
					if certs.Reason(err) != test.want || err == nil && got != "cluster-b" {
						t.Errorf("below the %s, %s later, roots %s, %s: %q, %v", name, off, what, way, got, err)
					}
				}
			}
		}
		clock.Store(0)
	}
}

func TestPeerNameNeedsAFinishedHandshake(t *testing.T) {
	t.Parallel()
	all := certstest.New(t, "cluster-a", "cluster-b")
	a := all["cluster-a"].Auth
	o := overTCP(t, clientConfig(t, a, "cluster-b"), all["cluster-b"].Auth.ServerConfig())
	cs := o.clientState
	cs.HandshakeComplete = false
	if name, err := a.PeerName(cs); err == nil {
		t.Errorf("proved %q in the middle of a handshake", name)
	}
	cs = o.clientState
	cs.PeerCertificates = nil
	if _, err := a.PeerName(cs); certs.Reason(err) != certs.ReasonNoCertificate {
		t.Errorf("without a certificate: %v", err)
	}
}

// brokenSource has nothing to show.
type brokenSource struct{ err error }

func (s brokenSource) GetX509SVID() (*x509svid.SVID, error) { return nil, s.err }

func TestOwnCertificateMissingOrExpired(t *testing.T) {
	t.Parallel()
	all := certstest.New(t, "cluster-a", "cluster-b")
	b := all["cluster-b"]
	svid, err := all["cluster-a"].CA.Issue("cluster-a", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	later := func() time.Time { return time.Now().Add(time.Hour + certs.ClockSkew + time.Minute) }
	for name, c := range map[string]certs.Config{
		"missing": {Source: brokenSource{errors.New("disk on fire")}},
		"expired": {Source: svid, Now: later},
	} {
		c.Peers = []certs.Peer{b.Peer}
		a, err := certs.NewAuthenticator(c)
		if err != nil {
			t.Fatal(err)
		}
		o := overTCP(t, clientConfig(t, a, "cluster-b"), b.Auth.ServerConfig())
		if certs.Reason(o.client) != certs.ReasonOwnCertificate {
			t.Errorf("%s, dialing: %v", name, o.client)
		}
		o = overTCP(t, clientConfig(t, b.Auth, "cluster-a"), a.ServerConfig())
		if certs.Reason(o.server) != certs.ReasonOwnCertificate {
			t.Errorf("%s, accepting: %v", name, o.server)
		}
	}
}

func TestAuthenticatorMetrics(t *testing.T) {
	t.Parallel()
	all := certstest.New(t, "cluster-a", "cluster-b", "cluster-c")
	reg := prometheus.NewRegistry()
	svid, err := all["cluster-a"].CA.Issue("cluster-a", 0)
	if err != nil {
		t.Fatal(err)
	}
	c := certs.Config{Source: svid, Registerer: reg, Peers: []certs.Peer{all["cluster-b"].Peer, all["cluster-c"].Peer}}
	a, err := certs.NewAuthenticator(c)
	if err != nil {
		t.Fatal(err)
	}
	setPeers(t, a, all["cluster-c"].Peer)
	want := fmt.Sprintf(`# HELP eastway_certs_peer_bundle_expiry_timestamp_seconds Unix time when the last root in the peer's trust bundle expires.
# TYPE eastway_certs_peer_bundle_expiry_timestamp_seconds gauge
eastway_certs_peer_bundle_expiry_timestamp_seconds{peer="cluster-c"} %v
`, float64(all["cluster-c"].CA.Certificate().NotAfter.Unix()))
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if _, err := certs.NewAuthenticator(c); err == nil {
		t.Error("registered twice without an error")
	}
	if _, err := certs.NewAuthenticator(certs.Config{}); err == nil || !strings.Contains(err.Error(), "Config.Source") {
		t.Errorf("no source: %v", err)
	}
}

// TestLeaseEndsWithEitherCertificate: a connection may be used until the first certificate of either side expires, and the skew of clocks.
func TestLeaseEndsWithEitherCertificate(t *testing.T) {
	t.Parallel()
	all := certstest.New(t, "cluster-a", "cluster-b")
	issue := func(ttl time.Duration) *x509.Certificate {
		svid, err := all["cluster-b"].CA.Issue("cluster-b", ttl)
		if err != nil {
			t.Fatal(err)
		}
		return svid.Certificates[0]
	}
	own, err := all["cluster-a"].CA.Issue("cluster-a", 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ peer, first *x509.Certificate }{
		"the peer's expires first": {issue(time.Hour), nil},
		"our own expires first":    {issue(90 * 24 * time.Hour), own.Certificates[0]},
	} {
		want := c.peer
		if c.first != nil {
			want = c.first
		}
		renew, end := all["cluster-a"].Auth.Lease(tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.peer}})
		if d := end.Sub(want.NotAfter.Add(certs.ClockSkew)); d.Abs() > time.Minute {
			t.Errorf("%s: it ends %v after that", name, d)
		}
		if !renew.After(time.Now()) || !renew.Before(want.NotAfter) {
			t.Errorf("%s: it is replaced at %v, and ends at %v", name, renew, end)
		}
	}
}
