package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
)

// Second octets to try for the first cluster; the second cluster has the next one.
// Low numbers and 127.127 are left to others (resolvers, NTP).
const (
	firstBase = 80
	lastBase  = 98
	baseStep  = 2
)

// claimPort is held on 127.BASE.0.1 for as long as the world lives, so that two
// demos do not take the same addresses between looking and listening.
const claimPort = 7443

// claimAddresses finds addresses that are free. Closing the claim gives them back.
func claimAddresses(ctx context.Context) (topology, io.Closer, error) {
	var busy error
	for base := firstBase; base <= lastBase; base += baseStep {
		t := newTopology(byte(base))
		claim, err := tryClaim(ctx, t)
		switch {
		case err == nil:
			return t, claim, nil
		case errors.Is(err, syscall.EADDRINUSE):
			busy = err
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			return topology{}, nil, fmt.Errorf("the demo needs the loopback addresses 127.0.0.0/8: %w; "+
				"Linux has them all, elsewhere each must be added to the loopback interface first", err)
		default:
			return topology{}, nil, fmt.Errorf("look for free loopback addresses: %w", err)
		}
	}
	return topology{}, nil, fmt.Errorf("no free loopback addresses from 127.%d to 127.%d, the last one tried: %w; "+
		"end what listens there (another `eastway demo`?)", firstBase, lastBase+1, busy)
}

// tryClaim holds the lock address, and finds every other address free.
func tryClaim(ctx context.Context, t topology) (io.Closer, error) {
	lock := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, t.base, 0, 1}), claimPort)
	var lc net.ListenConfig
	claim, err := lc.Listen(ctx, "tcp4", lock.String())
	if err != nil {
		return nil, err
	}
	for _, z := range t.zones() {
		if err := zoneFree(ctx, z); err != nil {
			return nil, errors.Join(err, claim.Close())
		}
	}
	return claim, nil
}

func zoneFree(ctx context.Context, z zone) error {
	var lc net.ListenConfig
	var addrs []netip.AddrPort
	for _, role := range chain() {
		addrs = append(addrs, z.app(role))
	}
	for _, proxy := range proxyRoles() {
		addrs = append(addrs, z.tunnel(proxy), z.admin(proxy))
		for _, role := range chain() {
			addrs = append(addrs, z.vip(proxy, role))
		}
	}
	for _, addr := range addrs {
		l, err := lc.Listen(ctx, "tcp4", addr.String())
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return fmt.Errorf("close %s: %w", addr, err)
		}
	}
	for _, proxy := range proxyRoles() {
		p, err := lc.ListenPacket(ctx, "udp4", z.tunnel(proxy).String())
		if err != nil {
			return err
		}
		if err := p.Close(); err != nil {
			return fmt.Errorf("close %s: %w", z.tunnel(proxy), err)
		}
	}
	return nil
}
