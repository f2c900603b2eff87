package failover

import (
	"maps"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/listen"
)

// serves is true if a connection of a listener has somewhere to go.
func (p *Proxy) serves(b listen.Binding) bool { return p.table.Serves(b.Key, b.ClusterSet) }

// usable are the peers that a tunnel leads to.
type usable map[string]bool

// turned looks at the peers again and returns true if others can be used than before.
func (u *usable) turned(s *discovery.Snapshot, t Tunnels) bool {
	now := make(usable, len(s.Peers))
	for name := range s.Peers {
		if t.State(name).Usable {
			now[name] = true
		}
	}
	before := *u
	*u = now
	return !maps.Equal(before, now)
}
