// Package certstest makes clusters that trust each other, in memory, for tests
// of packages that need real handshakes.
package certstest

import (
	"math/big"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/eastway/eastway/certs"
)

// Cluster is one cluster with its CA and a proxy's identity.
type Cluster struct {
	// Auth already trusts all other clusters of the same New.
	Auth *certs.Authenticator
	CA   *certs.CA
	// Peer is what the others know about this cluster.
	Peer certs.Peer
	// TrustBundle is Peer's bundle in PEM, as a Peer manifest holds it.
	TrustBundle string
	// Serial is the number of its proxy's certificate.
	Serial *big.Int
}

// New makes one cluster for each name, by name; trust domains are NAME.test. Certificates are valid by
// the clock of the caller: inside a synctest bubble call it there.
func New(tb testing.TB, names ...string) map[string]*Cluster {
	tb.Helper()
	all := make(map[string]*Cluster, len(names))
	for _, name := range names {
		all[name] = newCluster(tb, name)
	}
	for name, c := range all {
		var peers []certs.Peer
		for other, o := range all {
			if other != name {
				peers = append(peers, o.Peer)
			}
		}
		if err := c.Auth.SetPeers(peers); err != nil {
			tb.Fatal(err)
		}
	}
	return all
}

func newCluster(tb testing.TB, name string) *Cluster {
	tb.Helper()
	fatal := func(err error) {
		if err != nil {
			tb.Fatalf("certstest: cluster %s: %v", name, err)
		}
	}
	td, err := spiffeid.TrustDomainFromString(name + ".test")
	fatal(err)
	ca, err := certs.NewCA(certs.Options{TrustDomain: td})
	fatal(err)
	id, err := certs.ClusterID(ca.TrustDomain(), name)
	fatal(err)
	bundle, err := certs.MarshalBundle(ca.Bundle(), certs.PEM)
	fatal(err)
	peer, err := certs.ParsePeer(name, id.String(), string(bundle))
	fatal(err)
	svid, err := ca.Issue(name, 0)
	fatal(err)
	auth, err := certs.NewAuthenticator(certs.Config{Source: svid})
	fatal(err)
	return &Cluster{Auth: auth, CA: ca, Peer: peer, TrustBundle: string(bundle), Serial: svid.Certificates[0].SerialNumber}
}
