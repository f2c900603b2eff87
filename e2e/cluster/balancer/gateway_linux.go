package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// gateway is the network in which the forwards are.
type gateway struct {
	site    netip.Prefix
	device  string
	applied string                          // the rules that are in force
	flows   map[udpFlow]map[netip.Addr]bool // nodes that each UDP port was sent to
	has     map[netip.Addr]bool             // addresses that it was given; nil: not known yet
}

// udpFlow is what conntrack knows the datagrams to a port by.
type udpFlow struct {
	address netip.Addr
	port    int
}

func newGateway(o options) *gateway {
	return &gateway{site: o.site, device: o.device}
}

// apply the forwards, if they are not those in force.
func (g *gateway) apply(ctx context.Context, all []forward) error {
	text := rules(all, g.site)
	if text == g.applied {
		return nil
	}
	if err := g.setAddresses(all); err != nil {
		return err
	}
	nft := exec.CommandContext(ctx, "nft", "-f", "-")
	nft.Stdin = strings.NewReader(text)
	if output, err := nft.CombinedOutput(); err != nil {
		return fmt.Errorf("set the rules: %w: %s\n%s", err, output, text)
	}
	g.applied = text
	return g.forget(ctx, all)
}

// setAddresses gives the gateway those of the forwards and takes others away.
func (g *gateway) setAddresses(all []forward) error {
	want := make(map[netip.Addr]bool)
	for _, f := range all {
		want[f.address] = true
	}
	if g.has != nil && maps.Equal(want, g.has) {
		return nil
	}
	link, err := netlink.LinkByName(g.device)
	if err != nil {
		return fmt.Errorf("find the device %s: %w", g.device, err)
	}
	if g.has == nil {
		if g.has, err = given(link, g.site); err != nil {
			return err
		}
	}
	one := func(a netip.Addr) *netlink.Addr {
		to := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}}
		if a.Is6() {
			to.Flags = unix.IFA_F_NODAD // no other host has it
		}
		return to
	}
	for a := range want {
		if err := netlink.AddrReplace(link, one(a)); err != nil {
			return fmt.Errorf("add the address %s: %w", a, err)
		}
	}
	for a := range g.has {
		if want[a] {
			continue
		}
		if err := netlink.AddrDel(link, one(a)); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("remove the address %s: %w", a, err)
		}
	}
	g.has = want
	return nil
}

// given are the addresses of a site that an earlier process like this one gave to a device.
func given(link netlink.Link, site netip.Prefix) (map[netip.Addr]bool, error) {
	all, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the addresses of %s: %w", link.Attrs().Name, err)
	}
	has := make(map[netip.Addr]bool)
	for i := range all {
		address, _ := netip.AddrFromSlice(all[i].IP)
		address = address.Unmap()
		if ones, bits := all[i].Mask.Size(); ones == bits && site.Contains(address) { // the gateway's own has its network
			has[address] = true
		}
	}
	return has, nil
}

// forget which node datagrams of known callers went to, if it is not to get any more: without
// that conntrack would send them there for as long as they keep coming.
func (g *gateway) forget(ctx context.Context, all []forward) error {
	flows := make(map[udpFlow]map[netip.Addr]bool)
	for _, f := range all {
		if f.protocol != "udp" {
			continue
		}
		nodes := make(map[netip.Addr]bool)
		for _, n := range f.nodes {
			nodes[n] = true
		}
		flows[udpFlow{f.address, f.port}] = nodes
	}
	old := g.flows
	g.flows = flows
	for flow, nodes := range old {
		for n := range nodes {
			if flows[flow][n] {
				continue
			}
			family := "ipv4"
			if n.Is6() {
				family = "ipv6"
			}
			conntrack := exec.CommandContext(ctx, "conntrack", "--delete", "--family", family, "--proto", "udp",
				"--orig-dst", flow.address.String(), "--orig-port-dst", strconv.Itoa(flow.port), "--reply-src", n.String())
			// It exits with 1 when there was none.
			if output, err := conntrack.CombinedOutput(); err != nil && !strings.Contains(string(output), "0 flow entries") {
				return fmt.Errorf("forget the way of datagrams to %s: %w: %s", flow.address, err, output)
			}
		}
	}
	return nil
}
