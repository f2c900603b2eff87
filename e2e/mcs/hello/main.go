// Command hello is what runs in the pods of the conformance checks:
//
//	hello serve                          answers each line with who it is, over TCP and UDP
//	hello call [-n N] [-udp] HOST:PORT   sends a line N times, one connection after the other, and prints each answer
//	hello hold HOST:PORT                 sends a line, prints the answer, and then when and how the connection ends
//	hello lookup [-type A|AAAA|SRV] NAME      prints what the pod's DNS server says
//
// What fails is printed as a line that begins with "error: ".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Port at which it serves, TCP and UDP.
const Port = 4242

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("say what to do: serve, call HOST:PORT, hold HOST:PORT or lookup NAME")

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	times := flags.Int("n", 1, "so many calls")
	udp := flags.Bool("udp", false, "send a datagram")
	kind := flags.String("type", "A", "`kind` of record: A, AAAA or SRV")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch {
	case args[0] == "serve" && flags.NArg() == 0:
		who := strings.Join([]string{os.Getenv("CLUSTER"), os.Getenv("POD"), os.Getenv("ADDRESS")}, " ")
		return serve(ctx, netip.AddrPortFrom(netip.IPv6Unspecified(), Port), who)
	case args[0] == "call" && flags.NArg() == 1:
		network := "tcp"
		if *udp {
			network = "udp"
		}
		for range *times {
			fmt.Fprintln(out, call(ctx, network, flags.Arg(0)))
		}
		return nil
	case args[0] == "hold" && flags.NArg() == 1:
		hold(ctx, out, flags.Arg(0))
		return nil
	case args[0] == "lookup" && flags.NArg() == 1:
		for _, record := range lookup(ctx, *kind, flags.Arg(0)) {
			fmt.Fprintln(out, record)
		}
		return nil
	}
	return errUsage
}
