package certstest_test

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/eastway/eastway/certs/certstest"
)

func TestNewClustersTrustEachOther(t *testing.T) {
	t.Parallel()
	all := certstest.New(t, "cluster-a", "cluster-b", "cluster-c")
	for client := range all {
		for server := range all {
			if client == server {
				continue
			}
			cc, err := all[client].Auth.ClientConfig(server)
			if err != nil {
				t.Fatal(err)
			}
			a, b := net.Pipe()
			c, s := tls.Client(a, cc), tls.Server(b, all[server].Auth.ServerConfig())
			done := make(chan error, 1)
			go func() { done <- s.Handshake() }()
			if err := c.Handshake(); err != nil {
				t.Errorf("%s dials %s: %v", client, server, err)
			}
			if err := <-done; err != nil {
				t.Errorf("%s accepts %s: %v", server, client, err)
			}
			if got, err := all[server].Auth.PeerName(s.ConnectionState()); err != nil || got != client {
				t.Errorf("server %s sees %q, %v", server, got, err)
			}
			if got, err := all[client].Auth.PeerName(c.ConnectionState()); err != nil || got != server {
				t.Errorf("client %s sees %q, %v", client, got, err)
			}
			a.Close()
			b.Close()
		}
	}
}
