package relay_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"

	"github.com/eastway/eastway/internal/relay"
)

// A client is connected to a server, which echoes until the client half-closes.
func ExampleRun() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client, clientSide, err := pair(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	server, serverSide, err := pair(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	// nil: without a Watch, a reset is noticed by reading and writing alone.
	a, errA := relay.NewTCP(clientSide, nil)
	b, errB := relay.NewTCP(serverSide, nil)
	if errA != nil || errB != nil {
		fmt.Println(errA, errB)
		return
	}
	ended := make(chan relay.Result, 1)
	go func() { ended <- relay.Run(ctx, a, b, nil, 0) }()
	go func() {
		_, _ = io.Copy(server, server)
		_ = server.CloseWrite()
	}()

	_, _ = io.WriteString(client, "hello")
	_ = client.CloseWrite()
	answer, err := io.ReadAll(client)
	fmt.Println(string(answer), err)
	result := <-ended
	fmt.Println(result, result.Up, result.Down)
	_, _ = client.Close(), server.Close()
	// Output:
	// hello <nil>
	// client closed 5 5
}

// pair is both ends of one connection on loopback.
func pair(ctx context.Context) (dialed, accepted *net.TCPConn, err error) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if dialed, err = new(net.Dialer).DialTCP(ctx, "tcp", netip.AddrPort{}, l.Addr().(*net.TCPAddr).AddrPort()); err != nil {
		return nil, nil, err
	}
	accepted, err = l.AcceptTCP()
	return dialed, accepted, err
}
