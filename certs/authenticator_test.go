package certs_test

import (
	"crypto/tls"
	"testing"

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
