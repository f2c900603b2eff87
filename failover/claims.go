package failover

import (
	"net/netip"
	"slices"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/hashtrie"
)

// claims are the addresses on which services want to be listened for.
type claims struct {
	at map[netip.AddrPort][]purpose // by service name
	of hashtrie.Map[discovery.ServiceName, *discovery.Service]
}

// follow takes in a new state of the catalog and returns the addresses of which something changed.
func (c *claims) follow(s *discovery.Snapshot) map[netip.AddrPort]struct{} {
	touched := make(map[netip.AddrPort]struct{})
	for name := range hashtrie.Differing(c.of, s.Services) {
		c.change(c.of.Get(name), s.Services.Get(name), touched)
	}
	c.of = s.Services
	return touched
}

// change replaces what a service claims; nil claims nothing. Most changes are of endpoints.
func (c *claims) change(old, svc *discovery.Service, touched map[netip.AddrPort]struct{}) {
	var had, has []discovery.Listener
	if old != nil {
		had = old.Listeners
	}
	if svc != nil {
		has = svc.Listeners
	}
	if slices.Equal(had, has) {
		return
	}
	for i := range had {
		at, pu := claimOf(old, &had[i])
		c.at[at] = slices.DeleteFunc(c.at[at], func(o purpose) bool { return o == pu })
		if len(c.at[at]) == 0 {
			delete(c.at, at)
		}
		touched[at] = struct{}{}
	}
	for i := range has {
		at, pu := claimOf(svc, &has[i])
		if !slices.Contains(c.at[at], pu) {
			c.at[at] = append(c.at[at], pu)
			slices.SortStableFunc(c.at[at], func(a, b purpose) int { return a.service.Compare(b.service) })
		}
		touched[at] = struct{}{}
	}
}

func claimOf(svc *discovery.Service, l *discovery.Listener) (netip.AddrPort, purpose) {
	return netip.AddrPortFrom(l.Address.Addr().Unmap(), l.Address.Port()), purpose{portKey{svc.Name, l.Port, l.Pod}, l.ClusterSet}
}
