package failover

import (
	"context"
	"maps"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/listen"
)

// serves is true if a connection of a listener has somewhere to go.
func (p *Proxy) serves(b listen.Binding) bool { return p.table.Serves(b.Key, b.ClusterSet) }

// usable are the peers that a tunnel leads to.
type usable map[string]bool

func usableOf(s *discovery.Snapshot, t Tunnels) usable {
	now := make(usable, len(s.Peers))
	for name := range s.Peers {
		if t.State(name).Usable {
			now[name] = true
		}
	}
	return now
}

// SeesPeers is true if the listeners are in line with which peers can be used now. They are looked at every peersLook.
func (p *Proxy) SeesPeers() bool {
	s, seen := p.table.Snapshot(), p.seen.Load()
	return s != nil && seen != nil && maps.Equal(*seen, usableOf(s, p.cfg.Tunnels))
}

// review opens and closes listeners after the peers were looked at, if others can be used than before. It is false if that is not so.
func (p *Proxy) review(ctx context.Context, s *discovery.Snapshot) (wait time.Duration, turned bool) {
	now := usableOf(s, p.cfg.Tunnels)
	if seen := p.seen.Load(); seen != nil && maps.Equal(*seen, now) {
		return 0, false
	}
	wait = p.listeners.ReviewAll(ctx)
	p.seen.Store(&now)
	return wait, true
}
