package certs_test

import (
	"crypto/tls"
	"math/big"
	"testing"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/certs/certstest"
)

// withTickets turns on what Eastway leaves off, to prove that nothing rests on that.
func withTickets(client, server *tls.Config) {
	client.SessionTicketsDisabled, server.SessionTicketsDisabled = false, false
	client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	client.ServerName = "resumed" // the cache's key
	// Clones of a configuration make keys of their own otherwise, and quic-go clones.
	server.SetSessionTicketKeys([][32]byte{{1}})
}

// TestResumedSessionsAreVerified changes what one side trusts between two connections of one session.
func TestResumedSessionsAreVerified(t *testing.T) {
	t.Parallel()
	changes := map[string]struct {
		change func(t *testing.T, of *certstest.Cluster, peer, other *certstest.Cluster)
		reason string
	}{
		"nothing": {func(*testing.T, *certstest.Cluster, *certstest.Cluster, *certstest.Cluster) {}, accepted},
		"peer removed": {func(t *testing.T, of, _, _ *certstest.Cluster) {
			t.Helper()
			setPeers(t, of.Auth)
		}, certs.ReasonUnknownPeer},
		"certificate denied": {func(t *testing.T, of, peer, _ *certstest.Cluster) {
			t.Helper()
			p := peer.Peer
			p.DeniedSerials = []*big.Int{peer.Serial}
			setPeers(t, of.Auth, p)
		}, certs.ReasonDenied},
		"another certificate denied": {func(t *testing.T, of, peer, _ *certstest.Cluster) {
			t.Helper()
			p := peer.Peer
			p.DeniedSerials = []*big.Int{new(big.Int).Add(peer.Serial, big.NewInt(1))}
			setPeers(t, of.Auth, p)
		}, accepted},
		"ID denied": {func(t *testing.T, of, peer, _ *certstest.Cluster) {
			t.Helper()
			p := peer.Peer
			p.Denied = true
			setPeers(t, of.Auth, p)
		}, certs.ReasonDenied},
		"bundle replaced": {func(t *testing.T, of, peer, other *certstest.Cluster) {
			t.Helper()
			p := peer.Peer
			p.Bundle = p.Bundle.Clone()
			p.Bundle.SetX509Authorities(other.Peer.Bundle.X509Authorities())
			setPeers(t, of.Auth, p)
		}, certs.ReasonUnknownAuthority},
	}
	for transport, handshake := range transports {
		for name, c := range changes {
			for _, side := range []string{"client", "server"} {
				t.Run(transport+"/"+name+" at the "+side, func(t *testing.T) {
					t.Parallel()
					all := certstest.New(t, "cluster-a", "cluster-b", "cluster-c")
					a, b, other := all["cluster-a"], all["cluster-b"], all["cluster-c"]
					client, server := clientConfig(t, a.Auth, "cluster-b"), b.Auth.ServerConfig()
					withTickets(client, server)
					if o := handshake(t, client, server); o.client != nil || o.server != nil {
						t.Fatalf("first connection: client: %v, server: %v", o.client, o.server)
					}
					if side == "client" {
						c.change(t, a, b, other)
					} else {
						c.change(t, b, a, other)
					}
					o := handshake(t, client, server)
					got := o.client
					if side == "server" {
						got = o.server
					}
					if r := certs.Reason(got); r != c.reason {
						t.Errorf("second connection: reason %q, want %q: client: %v, server: %v", r, c.reason, o.client, o.server)
					}
					if c.reason == accepted && (!o.clientState.DidResume || !o.serverState.DidResume) {
						t.Error("the second connection did not resume the session, so that this test proves nothing")
					}
				})
			}
		}
	}
}

func TestTicketsAreOff(t *testing.T) {
	t.Parallel()
	all := certstest.New(t, "cluster-a", "cluster-b")
	client, server := clientConfig(t, all["cluster-a"].Auth, "cluster-b"), all["cluster-b"].Auth.ServerConfig()
	client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	client.ServerName = "resumed"
	for range 2 {
		o := overTCP(t, client, server)
		if o.client != nil || o.server != nil || o.serverState.DidResume {
			t.Fatalf("client: %v, server: %v, resumed %t", o.client, o.server, o.serverState.DidResume)
		}
	}
}

func setPeers(t *testing.T, a *certs.Authenticator, peers ...certs.Peer) {
	t.Helper()
	if err := a.SetPeers(peers); err != nil {
		t.Fatal(err)
	}
}
