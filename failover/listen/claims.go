package listen

import (
	"net/netip"
	"slices"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/internal/hashtrie"
)

// claims are the addresses on which services want to be listened for.
type claims struct {
	at map[netip.AddrPort][]Binding // by service name
	of hashtrie.Map[discovery.ServiceName, *discovery.Service]
}

// follow takes in a new state of the catalog and returns the services that changed, and the addresses that others claim now.
func (c *claims) follow(s *discovery.Snapshot) (touched map[netip.AddrPort]struct{}, changed []discovery.ServiceName) {
	touched = make(map[netip.AddrPort]struct{})
	for name := range hashtrie.Differing(c.of, s.Services) {
		c.change(c.of.Get(name), s.Services.Get(name), touched)
		changed = append(changed, name)
	}
	c.of = s.Services
	return touched, changed
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
		b := bindingOf(old, &had[i])
		c.at[b.At] = slices.DeleteFunc(c.at[b.At], func(o Binding) bool { return o == b })
		if len(c.at[b.At]) == 0 {
			delete(c.at, b.At)
		}
		touched[b.At] = struct{}{}
	}
	for i := range has {
		b := bindingOf(svc, &has[i])
		if !slices.Contains(c.at[b.At], b) {
			c.at[b.At] = append(c.at[b.At], b)
			slices.SortStableFunc(c.at[b.At], func(a, b Binding) int { return a.Service.Compare(b.Service) })
		}
		touched[b.At] = struct{}{}
	}
}

func bindingOf(svc *discovery.Service, l *discovery.Listener) Binding {
	return Binding{
		At:         netip.AddrPortFrom(l.Address.Addr().Unmap(), l.Address.Port()),
		Key:        balance.Key{Service: svc.Name, Port: l.Port, Pod: l.Pod},
		ClusterSet: l.ClusterSet,
	}
}
