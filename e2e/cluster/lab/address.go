package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// family is one of IP addresses.
type family int

const (
	ipv4 family = iota
	ipv6
)

// Values of Config.IPFamilies.
const (
	// IPv4 is a cluster with IPv4 alone.
	IPv4 = "ipv4"
	// IPv6 is one with IPv6 alone: its nodes have no other addresses.
	IPv6 = "ipv6"
	// DualStack is one with both; Services have IPv4 unless they ask for more.
	DualStack = "dual-stack"
)

// stacks are the families of each value, the primary one first.
func stacks() map[string][]family {
	return map[string][]family{IPv4: {ipv4}, IPv6: {ipv6}, DualStack: {ipv4, ipv6}}
}

// families of cluster number i, the primary one first.
func (c Config) families(i int) []family {
	if i >= len(c.IPFamilies) {
		return []family{ipv4}
	}
	return stacks()[c.IPFamilies[i]]
}

// allFamilies of any cluster.
func (c Config) allFamilies() []family {
	var all []family
	for i := range c.Clusters {
		all = append(all, c.families(i)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// bits of the prefix of the internet and of each site, and of a node's pods.
func (f family) bits() int {
	if f == ipv6 {
		return 64
	}
	return 24
}

// network is the addresses in a cluster, the same in all of them: nothing can be routed between them.
type network struct {
	pods, services netip.Prefix
	// api is of the Service kubernetes: the first one. dns is of kube-dns: as everywhere.
	api, dns netip.Addr
}

func (f family) network() network {
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	if f == ipv6 {
		return network{prefix("fd00:10:244::/48"), prefix("fd00:10:96::/112"), addr("fd00:10:96::1"), addr("fd00:10:96::a")}
	}
	return network{prefix("10.244.0.0/16"), prefix("10.96.0.0/16"), addr("10.96.0.1"), addr("10.96.0.10")}
}

// nodePods are the addresses of the pods of node n, from 0 on, in every site.
func (f family) nodePods(n int) netip.Prefix {
	if f == ipv6 {
		return netip.PrefixFrom(netip.MustParseAddr(fmt.Sprintf("fd00:10:244:%x::", n+1)), f.bits())
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, byte(n + 1), 0}), f.bits()) // small
}

// plan is the addresses of a lab: a /20 of 198.18.0.0/15, which is reserved for
// tests of networks (RFC 2544) and so clashes with nothing, cut into /24:
// the internet, then the sites. Of IPv6 it has the same in fd00:198:18::/48, cut into /64.
type plan struct {
	// Number of the lab, 0 to maxLabs-1, unique on this computer.
	Number int
}

// Numbers of the hosts in their network.
const (
	hostSelf    = 1  // this computer on the internet; the gateway in a site
	hostControl = 2  // in a site
	hostFirst   = 11 // the first site on the internet; the first node in a site
	// Addresses for Services of type LoadBalancer in a site, first and last.
	hostBalancerFirst = 128
	hostBalancerLast  = 254
)

func (p plan) host(f family, network, host int) netip.Addr {
	if f == ipv6 { // with the digits of IPv4, to be recognized
		return netip.MustParseAddr(fmt.Sprintf("fd00:198:18:%d::%d", p.Number<<4|network, host))
	}
	return netip.AddrFrom4([4]byte{198, 18, byte(p.Number<<4 | network), byte(host)}) // both are small
}

// self is this computer's address on the internet.
func (p plan) self(f family) netip.Addr { return p.host(f, 0, hostSelf) }

// outside is the internet address of the gateway of site i, from 0 on.
func (p plan) outside(f family, i int) netip.Addr { return p.host(f, 0, hostFirst+i) }

// site is the network of site i.
func (p plan) site(f family, i int) netip.Prefix {
	return netip.PrefixFrom(p.host(f, i+1, 0), f.bits()).Masked()
}

// gateway is the address of site i's gateway inside the site.
func (p plan) gateway(f family, i int) netip.Addr { return p.host(f, i+1, hostSelf) }

// control is where site i's API server is.
func (p plan) control(f family, i int) netip.Addr { return p.host(f, i+1, hostControl) }

// node is the address of node n, from 0 on, in site i.
func (p plan) node(f family, i, n int) netip.Addr { return p.host(f, i+1, hostFirst+n) }

// device is the lab's device on this computer.
func (p plan) device() string { return fmt.Sprintf("%s%d", hostDevice, p.Number) }

// each is what one says for every family, in the form of Kubernetes' flags.
func each[T fmt.Stringer](families []family, one func(f family) T) string {
	texts := make([]string, len(families))
	for i, f := range families {
		texts[i] = one(f).String()
	}
	return strings.Join(texts, ",")
}
