package nft

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// TableName is the name of our tables, one per address family.
const TableName = "eastway"

// Limits of what one table holds; a bug or a hostile object must not fill the kernel's memory.
const (
	// MaxServices counts cluster IPs with their ports: twice what 10,000 Services of one family take.
	MaxServices = 20_000
	// MaxProxies of one group is far beyond the replicas of one zone.
	MaxProxies = 256
)

// Ruleset is the content of the tables.
type Ruleset struct {
	Services []Service
	Check    *Check // nil: no packet check
}

// Service sends TCP connections for one cluster IP and port to proxies.
type Service struct {
	Address  netip.AddrPort // cluster IP and service port
	Port     uint16         // where the proxies listen for it
	Proxies  []netip.Addr   // at least one, of Address's family
	Affinity bool           // the same client address goes to the same proxy
}

// Equal reports whether two services are the same.
func (s *Service) Equal(o *Service) bool {
	return s.Address == o.Address && s.Port == o.Port && s.Affinity == o.Affinity && slices.Equal(s.Proxies, o.Proxies)
}

// Check sends what carries the mark and goes to Address to Listener, before anything else in the output chain.
// Address and Listener are of one family. Nothing else uses the mark, so no other traffic is affected.
type Check struct {
	Mark     uint32
	Address  netip.AddrPort
	Listener netip.AddrPort // of Address's family
}

// Validate names the first entry that no table can hold.
func (r *Ruleset) Validate() error {
	if len(r.Services) > MaxServices {
		return fmt.Errorf("nft: %d service ports, more than %d: take over fewer Services", len(r.Services), MaxServices)
	}
	seen := make(map[netip.AddrPort]bool, len(r.Services))
	for i := range r.Services {
		s := &r.Services[i]
		if seen[s.Address] {
			return fmt.Errorf("nft: Services[%d].Address %s is there twice", i, s.Address)
		}
		seen[s.Address] = true
		if err := s.validate(i); err != nil {
			return err
		}
	}
	if c := r.Check; c != nil && (c.Mark == 0 || !c.Address.IsValid() || !c.Listener.IsValid() ||
		c.Address.Addr().Is4() != c.Listener.Addr().Is4()) {
		return fmt.Errorf("nft: Check needs a mark, and an address and a listener of one family, not %+v", *c)
	}
	return nil
}

// validate names the first field that no table can hold; i is the index among the services.
func (s *Service) validate(i int) error {
	switch {
	case !s.Address.IsValid() || s.Address.Port() == 0 || s.Address.Addr().Is4In6():
		return fmt.Errorf("nft: Services[%d].Address %s is not an address and port", i, s.Address)
	case s.Port == 0:
		return fmt.Errorf("nft: Services[%d].Port of %s is 0", i, s.Address)
	case len(s.Proxies) == 0 || len(s.Proxies) > MaxProxies:
		return fmt.Errorf("nft: Services[%d].Proxies of %s: %d, must be 1 to %d", i, s.Address, len(s.Proxies), MaxProxies)
	}
	for _, p := range s.Proxies {
		if !p.IsValid() || p.Is4() != s.Address.Addr().Is4() {
			return fmt.Errorf("nft: Services[%d].Proxies: %s is not of the family of %s", i, p, s.Address)
		}
	}
	return nil
}

// group is a set of proxies that connections are spread over.
type group struct {
	proxies  []netip.Addr // sorted
	affinity bool
}

// content is what the table of one family holds.
type content struct {
	services []Service // Proxies unused
	groups   []group
	group    []int // of each service
	hairpin  []netip.Addr
	check    *Check
}

func (c *content) empty() bool { return len(c.services) == 0 && c.check == nil }

// compile sorts a ruleset into the families' tables. Services with the same proxies share a group.
func compile(r *Ruleset) (v4, v6 content) {
	index := [2]map[string]int{{}, {}}
	for i := range r.Services {
		s := &r.Services[i]
		c, groups := &v4, index[0]
		if s.Address.Addr().Is6() {
			c, groups = &v6, index[1]
		}
		proxies := slices.Compact(slices.SortedFunc(slices.Values(s.Proxies), netip.Addr.Compare))
		key := fmt.Sprint(proxies)
		if s.Affinity {
			key += " affinity"
		}
		g, ok := groups[key]
		if !ok {
			g = len(c.groups)
			groups[key] = g
			c.groups = append(c.groups, group{proxies: proxies, affinity: s.Affinity})
			c.hairpin = append(c.hairpin, proxies...)
		}
		c.services = append(c.services, *s)
		c.group = append(c.group, g)
	}
	for _, c := range []*content{&v4, &v6} {
		slices.SortFunc(c.hairpin, netip.Addr.Compare)
		c.hairpin = slices.Compact(c.hairpin)
	}
	if r.Check != nil {
		if r.Check.Address.Addr().Is4() {
			v4.check = r.Check
		} else {
			v6.check = r.Check
		}
	}
	return v4, v6
}

// affinitySlots is into how many parts clients' addresses are hashed: enough that a few proxies get nearly equal shares.
const affinitySlots = 64

// slots gives each slot one of the proxies so that, when a proxy leaves, only its own slots change hands
// (rendezvous hashing). The result is the same on every node.
func slots(proxies []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, affinitySlots)
	for i := range out {
		out[i] = slices.MaxFunc(proxies, func(a, b netip.Addr) int {
			return cmp.Or(cmp.Compare(weight(i, a), weight(i, b)), a.Compare(b))
		})
	}
	return out
}

// weight is FNV-1a of slot and address, with a final mix: FNV-1a differs too little between neighboring addresses.
func weight(slot int, a netip.Addr) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	b := a.As16()
	for _, x := range append(b[:], byte(slot)) { // below affinitySlots
		h = (h ^ uint64(x)) * prime
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return h ^ h>>33
}
