package lab

import (
	"fmt"
	"net/netip"
)

// plan is the addresses of a lab: a /20 of 198.18.0.0/15, which is reserved for
// tests of networks (RFC 2544) and so clashes with nothing, cut into /24:
// the internet, then the sites.
type plan struct {
	// Number of the lab, 0 to maxLabs-1, unique on this computer.
	Number int
}

// Numbers of the hosts in their /24.
const (
	hostSelf    = 1  // this computer on the internet; the gateway in a site
	hostControl = 2  // in a site
	hostFirst   = 11 // the first site on the internet; the first node in a site
	// Addresses for Services of type LoadBalancer in a site, first and last.
	hostBalancerFirst = 128
	hostBalancerLast  = 254
)

// bitsNet is the prefix length of the internet and of each site.
const bitsNet = 24

func (p plan) host(network, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{198, 18, byte(p.Number<<4 | network), byte(host)}) //nolint:gosec // both are small
}

// self is this computer's address on the internet.
func (p plan) self() netip.Addr { return p.host(0, hostSelf) }

// outside is the internet address of the gateway of site i, from 0 on.
func (p plan) outside(i int) netip.Addr { return p.host(0, hostFirst+i) }

// site is the network of site i.
func (p plan) site(i int) netip.Prefix { return netip.PrefixFrom(p.host(i+1, 0), bitsNet) }

// gateway is the address of site i's gateway inside the site.
func (p plan) gateway(i int) netip.Addr { return p.host(i+1, hostSelf) }

// control is where site i's API server is.
func (p plan) control(i int) netip.Addr { return p.host(i+1, hostControl) }

// node is the address of node n, from 0 on, in site i.
func (p plan) node(i, n int) netip.Addr { return p.host(i+1, hostFirst+n) }

// podNetwork of node n in every site.
func podNetwork(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, byte(n + 1), 0}), bitsNet) //nolint:gosec // small
}

// device is the lab's device on this computer.
func (p plan) device() string { return fmt.Sprintf("%s%d", hostDevice, p.Number) }
