package kube

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/internal/translate"
	"github.com/eastway/eastway/internal/hashtrie"
)

// callers locates the addresses that callers may have: those of endpoints and of nodes. Most are in the range of their node,
// which locates them already; the catalog gets only the others.
type callers struct {
	seen    map[netip.Addr]*caller
	changed map[netip.Addr]struct{} // since the last flush
	flushed hashtrie.Map[netip.Addr, discovery.Locality]
}

// caller is an address and by how many slices and nodes it is had.
type caller struct {
	at   discovery.Locality
	refs int
}

func newCallers() callers {
	return callers{seen: map[netip.Addr]*caller{}, changed: map[netip.Addr]struct{}{}}
}

// reset forgets everything; what is known has to be added again.
func (c *callers) reset() {
	clear(c.seen)
	for addr := range c.flushed.All() {
		c.changed[addr] = struct{}{}
	}
}

// slice adds the endpoints of a slice, or removes them.
func (c *callers) slice(s *discoveryv1.EndpointSlice, places *translate.Places, here bool) {
	for addr, e := range translate.Addresses(s) {
		if here {
			c.add(addr, places.Endpoint(s, e))
		} else {
			c.remove(addr)
		}
	}
}

// node adds the addresses of a node: pods in its network, and what is masqueraded by it, come from there.
func (c *callers) node(n *corev1.Node, places *translate.Places) {
	for _, a := range n.Status.Addresses {
		if addr, err := netip.ParseAddr(a.Address); err == nil {
			c.add(addr, places.Node(n.Name))
		}
	}
}

func (c *callers) add(addr netip.Addr, at discovery.Locality) {
	known := c.seen[addr]
	if known == nil {
		known = &caller{}
		c.seen[addr] = known
	}
	known.at = at
	known.refs++
	c.changed[addr] = struct{}{}
}

func (c *callers) remove(addr netip.Addr) {
	known := c.seen[addr]
	if known == nil {
		return
	}
	if known.refs--; known.refs == 0 {
		delete(c.seen, addr)
	}
	c.changed[addr] = struct{}{}
}

// flush returns what the catalog gets beside the networks.
func (c *callers) flush(networks []discovery.Network) hashtrie.Map[netip.Addr, discovery.Locality] {
	ranges := discovery.Snapshot{Networks: networks}
	for addr := range c.changed {
		known := c.seen[addr]
		if known != nil {
			if within, ok := ranges.Locate(addr); !ok || within != known.at {
				c.flushed = c.flushed.With(addr, known.at)
				continue
			}
		}
		c.flushed = c.flushed.Without(addr)
	}
	clear(c.changed)
	return c.flushed
}

// networks are the nodes' ranges of pod addresses, sorted; of ranges that overlap the one that begins first counts, and of two
// that begin at the same address the wider one.
func networks(nodes map[string]*corev1.Node, names []string, places *translate.Places) []discovery.Network {
	var all []discovery.Network
	for _, n := range names {
		for _, cidr := range nodes[n].Spec.PodCIDRs {
			prefix, err := netip.ParsePrefix(cidr)
			if at := places.Node(n); err == nil && at != (discovery.Locality{}) {
				all = append(all, discovery.Network{Prefix: prefix.Masked(), Locality: at})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b discovery.Network) int {
		if c := a.Prefix.Addr().Compare(b.Prefix.Addr()); c != 0 {
			return c
		}
		return a.Prefix.Bits() - b.Prefix.Bits()
	})
	kept := all[:0]
	for _, n := range all {
		if len(kept) == 0 || !kept[len(kept)-1].Prefix.Overlaps(n.Prefix) {
			kept = append(kept, n)
		}
	}
	return kept
}
