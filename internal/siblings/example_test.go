package siblings_test

import (
	"context"
	"fmt"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/siblings"
)

// A controller follows the proxies of its cluster with the identity that it has issued to itself.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	td, err := certs.DefaultTrustDomain("east")
	if err != nil {
		fmt.Println(err)
		return
	}
	ca, err := certs.NewCA(certs.Options{TrustDomain: td})
	if err != nil {
		fmt.Println(err)
		return
	}
	identity, err := certs.NewCASource(certs.CASourceConfig{CA: ca, Name: "east"})
	if err != nil {
		fmt.Println(err)
		return
	}
	proxies, err := siblings.New(ctx, siblings.Config{Cluster: "east", Identity: identity, Catalog: discovery.NewCatalog(nil)})
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- proxies.Run(ctx) }()

	fmt.Println(proxies.SetProxies(nil)) // IP:PORT of each ready proxy; again after each change
	states, _ := proxies.PeerStates()    // the channel is closed when a proxy reports a change
	fmt.Println(len(states), "proxies have reported")
	cancel()
	fmt.Println(<-ended)
	// Output:
	// <nil>
	// 0 proxies have reported
	// <nil>
}
