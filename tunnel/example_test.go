package tunnel_test

import (
	"context"
	"fmt"
	"io"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/transport/mem"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// Two clusters that trust each other: a call from one to a service of the other.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	west, trustWest := identity("west")
	east, trustEast := identity("east")
	_ = west.SetPeers([]certs.Peer{trustEast})
	_ = east.SetPeers([]certs.Peer{trustWest})

	network := mem.NewNetwork() // without Config.Transports: TCP and QUIC
	server, err := tunnel.New(ctx, tunnel.Config{
		Cluster: "east", Credentials: east, Listen: "10.0.0.2:15443",
		Transports: []transport.Transport{network.Transport("10.0.0.2")},
		Handle: func(in *tunnel.Incoming) {
			s, err := in.Accept(&tunnelpb.Answer{})
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(s, "hello, %s", in.Peer())
			_ = s.CloseWrite()
			_, _ = io.Copy(io.Discard, s)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := tunnel.New(ctx, tunnel.Config{
		Cluster: "west", Credentials: west, Transports: []transport.Transport{network.Transport("10.0.0.1")},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	server.SetPeers([]tunnel.Peer{{Name: "west"}})
	client.SetPeers([]tunnel.Peer{{Name: "east", Addresses: []string{"10.0.0.2:15443"}}})
	ended := make(chan error, 2)
	go func() { ended <- server.Run(ctx) }()
	go func() { ended <- client.Run(ctx) }()

	for !client.State("east").Usable { // callers try another endpoint meanwhile
	}
	s, err := client.Open(ctx, "east", &tunnel.Header{Namespace: "default", Service: "hello", Port: 80}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = s.CloseWrite()
	answer, err := io.ReadAll(s) // waits for the answer; io.EOF only after the end record
	fmt.Println(string(answer), err)
	cancel()
	fmt.Println(<-ended, <-ended)
	// Output:
	// hello, west <nil>
	// <nil> <nil>
}

// identity is a cluster's, with a CA of its own, and what others have to know to trust it.
func identity(cluster string) (*certs.Authenticator, certs.Peer) {
	ca, err := certs.NewCA(certs.Options{TrustDomain: spiffeid.RequireTrustDomainFromString(cluster + ".test")})
	if err != nil {
		panic(err)
	}
	id, _ := certs.ClusterID(ca.TrustDomain(), cluster)
	bundle, _ := certs.MarshalBundle(ca.Bundle(), certs.PEM)
	peer, _ := certs.ParsePeer(cluster, id.String(), string(bundle))
	svid, err := ca.Issue(cluster, 0)
	if err != nil {
		panic(err)
	}
	auth, err := certs.NewAuthenticator(certs.Config{Source: svid})
	if err != nil {
		panic(err)
	}
	return auth, peer
}
