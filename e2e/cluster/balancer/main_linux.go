package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.uber.org/zap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "balancer: %v\n", err)
		os.Exit(1)
	}
}

// options of the command line.
type options struct {
	server, ca, certificate, key string
	first, last                  netip.Addr
	site                         netip.Prefix
	device                       string
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	var o options
	flags := flag.NewFlagSet("balancer", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.server, "server", "", "URL of the API server")
	flags.StringVar(&o.ca, "ca", "", "file with the CA of the API server")
	flags.StringVar(&o.certificate, "certificate", "", "file with the certificate to show to it")
	flags.StringVar(&o.key, "key", "", "file with the key of that")
	flags.TextVar(&o.first, "first", netip.Addr{}, "first address to give away")
	flags.TextVar(&o.last, "last", netip.Addr{}, "last one")
	flags.TextVar(&o.site, "site", netip.Prefix{}, "network of the nodes")
	flags.StringVar(&o.device, "device", "lo", "device that gets the addresses")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if !o.first.IsValid() || o.last.Less(o.first) || !o.site.IsValid() {
		return fmt.Errorf("addresses %s to %s of %s: all are needed, in order", o.first, o.last, o.site)
	}
	client, err := newClient(o)
	if err != nil {
		return err
	}
	log, err := zap.NewProduction()
	if err != nil {
		return err
	}
	b := &balancer{api: client, apply: newGateway(o).apply, health: newHealth(probe), first: o.first, last: o.last, log: log}
	return b.run(ctx)
}

// tickTime is how often everything is looked at: health checks of clouds take seconds, a test's must not.
const tickTime = 500 * time.Millisecond

// balancer is the whole of it.
type balancer struct {
	api interface {
		services(ctx context.Context) ([]service, error)
		nodes(ctx context.Context) ([]node, error)
		setAddress(ctx context.Context, s service, address netip.Addr) error
	}
	apply       func(ctx context.Context, all []forward) error
	health      *health
	first, last netip.Addr
	log         *zap.Logger

	// What was known last.
	known []service
	at    []node
}

func (b *balancer) run(ctx context.Context) error {
	tick := time.NewTicker(tickTime)
	defer tick.Stop()
	told := ""
	for {
		problem := ""
		if err := b.step(ctx); err != nil {
			problem = err.Error()
		}
		if problem != told { // once, not all the time
			b.log.Warn("brought the load balancers up to date", zap.String("problem", problem))
			told = problem
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// step looks at everything once.
func (b *balancer) step(ctx context.Context) error {
	errAPI := b.learn(ctx)
	b.health.check(ctx, checks(b.known, b.at))
	if err := b.apply(ctx, forwards(b.known, b.at, b.health)); err != nil {
		return err
	}
	return errAPI
}

// learn services from the API server, and write their addresses there.
func (b *balancer) learn(ctx context.Context) error {
	services, err := b.api.services(ctx)
	if err != nil {
		return err
	}
	nodes, err := b.api.nodes(ctx)
	if err != nil {
		return err
	}
	b.known, b.at = assign(services, b.first, b.last), nodes
	for i, s := range b.known {
		if !s.address.IsValid() || s.told == s.address {
			continue
		}
		if err := b.api.setAddress(ctx, s, s.address); err != nil {
			return err
		}
		b.known[i].told = s.address
		b.log.Info("gave an address", zap.String("service", s.name()), zap.Stringer("address", s.address))
	}
	return nil
}
