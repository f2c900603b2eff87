package resolve

import (
	"maps"
	"net/netip"
	"slices"
)

// name is what is known of one. The zero value was never looked up.
type name struct {
	wanted bool // since the last look at all names
	looked bool
	missed map[netip.Addr]int // in how many answers in a row each address was missing
}

// answer takes a lookup's, and is true when it changes anything. An error, and an answer without addresses, change nothing once there
// was another one: links outlive a DNS server.
func (n *name) answer(found []netip.Addr, err error) (changed bool) {
	first := !n.looked
	n.looked = true
	if err != nil || len(found) == 0 {
		return first
	}
	before := n.addresses()
	if n.missed == nil {
		n.missed = make(map[netip.Addr]int)
	}
	for a := range n.missed {
		n.missed[a]++
	}
	for _, a := range found {
		n.missed[a.Unmap()] = 0
	}
	maps.DeleteFunc(n.missed, func(_ netip.Addr, times int) bool { return times >= missedOften })
	return first || !slices.Equal(before, n.addresses())
}

// addresses are those to dial, sorted.
func (n *name) addresses() []netip.Addr {
	all := slices.SortedFunc(maps.Keys(n.missed), netip.Addr.Compare)
	return all[:min(len(all), maxAddresses)]
}

// failed: it was looked up, and never found.
func (n *name) failed() bool { return n.looked && len(n.missed) == 0 }
