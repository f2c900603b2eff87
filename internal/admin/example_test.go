package admin_test

import (
	"context"
	"fmt"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/status"
)

// A proxy describes itself, and a command reads it.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	server, err := admin.Listen(ctx, admin.Config{
		Address: "127.0.0.1:0",
		Status: func() admin.Status {
			return admin.Status{Cluster: "east", Peers: []status.Peer{{Peer: "west", State: status.Connected}}}
		},
	})
	if err != nil {
		fmt.Println(err)
		cancel()
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()

	client, err := admin.NewClient(server.Addr().String())
	if err != nil {
		fmt.Println(err)
	} else {
		got, err := client.Status(ctx)
		fmt.Println(got.Cluster, got.Peers[0].Peer, got.Peers[0].State, err)
		client.Close()
	}
	cancel()
	fmt.Println(<-ended)
	// Output:
	// east west connected <nil>
	// <nil>
}
