package failover_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/tunnel"
)

// A service of two endpoints, one of which refuses: each call is served all the same.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	endpoint, err := loopback(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	go greet(endpoint)
	defer endpoint.Close()
	refuses, listens, err := unused(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}

	name := discovery.ServiceName{Namespace: "default", Name: "hello"}
	catalog := discovery.NewCatalog(nil) // usually filled by discovery/kube or discovery/file
	catalog.SetLocal(discovery.Local{Services: hashtrie.Of(map[discovery.ServiceName]*discovery.Service{name: {
		Name:      name,
		Ports:     []discovery.ServicePort{{Port: 80, Protocol: discovery.TCP}},
		Listeners: []discovery.Listener{{Address: listens, Port: 80}},
		Endpoints: map[uint16][]discovery.Endpoint{80: {
			{Address: refuses, Ready: true}, {Address: addressOf(endpoint), Ready: true},
		}},
	}})})
	proxy, err := failover.New(failover.Config{Cluster: "east", Catalog: catalog, Tunnels: noPeers{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- proxy.Run(ctx) }()
	for len(proxy.Listening()) == 0 {
	}
	for range 3 {
		fmt.Println(call(ctx, listens))
	}
	cancel()
	fmt.Println(<-ended)
	// Output:
	// hello <nil>
	// hello <nil>
	// hello <nil>
	// <nil>
}

// noPeers stands for a *tunnel.Node, see TunnelsOf.
type noPeers struct{}

func (noPeers) Open(context.Context, string, *tunnel.Header, []string) (failover.Stream, error) {
	return nil, tunnel.ErrUnknownPeer
}

func (noPeers) State(string) tunnel.PeerState { return tunnel.PeerState{} }

func loopback(ctx context.Context) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
}

func addressOf(l net.Listener) netip.AddrPort { return netip.MustParseAddrPort(l.Addr().String()) }

// unused are two addresses on which nothing listens.
func unused(ctx context.Context) (a, b netip.AddrPort, err error) {
	one, err := loopback(ctx)
	if err != nil {
		return a, b, err
	}
	defer one.Close() // not before the other address is known
	other, err := loopback(ctx)
	if err != nil {
		return a, b, err
	}
	return addressOf(one), addressOf(other), other.Close()
}

// greet answers every connection until the listener is closed.
func greet(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "hello")
		_ = c.Close()
	}
}

func call(ctx context.Context, at netip.AddrPort) (string, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp4", at.String())
	if err != nil {
		return "", err
	}
	defer c.Close()
	answer, err := io.ReadAll(c)
	return string(answer), err
}
