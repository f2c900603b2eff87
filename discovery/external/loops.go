package external

import (
	"net/netip"
	"slices"

	"github.com/eastway/eastway/discovery"
)

// loops are the addresses at which the proxies of this cluster listen for services, with how many services have each. As endpoints they
// would make calls loop.
type loops map[netip.AddrPort]int

// change replaces what a service has, and reports whether that is anything else than before.
func (l loops) change(was, is *discovery.Service) (changed bool) {
	before, now := leading(was), leading(is)
	if slices.Equal(before, now) {
		return false
	}
	for _, a := range before {
		if l[a]--; l[a] == 0 {
			delete(l, a)
		}
	}
	for _, a := range now {
		l[a]++
	}
	return true
}

// leading are the addresses by which callers reach the proxies for a service; none where the proxies do not listen for it.
func leading(s *discovery.Service) (out []netip.AddrPort) {
	if s == nil || len(s.Listeners) == 0 {
		return nil
	}
	for _, a := range s.Addresses {
		for i := range s.Ports {
			if s.Ports[i].Protocol == discovery.TCP {
				out = append(out, netip.AddrPortFrom(a.Unmap(), s.Ports[i].Port))
			}
		}
	}
	return out
}
