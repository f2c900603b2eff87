package failover

import (
	"net/netip"
	"slices"
	"time"

	"github.com/eastway/eastway/discovery"
)

// localityOf is where a caller is: known by its address, else taken to be where the proxy is.
func localityOf(s *discovery.Snapshot, caller netip.Addr, otherwise discovery.Locality) discovery.Locality {
	if l, ok := s.Locate(caller); ok {
		return l
	}
	return otherwise
}

// localOptions are the endpoints of the own cluster that take connections.
func (p *Proxy) localOptions(svc *discovery.Service, g *group, caller discovery.Locality) []option {
	set, now := g.policy(), time.Now()
	var out []option
	for i := range svc.Endpoints[g.key.port] {
		e := &svc.Endpoints[g.key.port][i]
		if !e.Ready && !e.Terminating || isSelf(svc, e.Address) || !g.key.takes(p.cfg.Cluster, e) {
			continue
		}
		k := targetKey{address: e.Address}
		t, h := g.health(k, now)
		if t == nil {
			continue // the catalog has just dropped it
		}
		out = append(out, option{
			target: t, key: k, cluster: p.cfg.Cluster, hostname: e.Hostname, locality: e.Locality,
			rank: localRank(caller, e.Locality, &set), load: float64(t.active.Load()), share: h.share,
			terminating: e.Terminating, last: h.last,
		})
	}
	return out
}

// isSelf tells whether an endpoint is one of the service's own listeners: a connection there would come back here for ever.
func isSelf(svc *discovery.Service, endpoint netip.AddrPort) bool {
	return slices.ContainsFunc(svc.Listeners, func(l discovery.Listener) bool { return l.Address == endpoint }) ||
		slices.Contains(svc.Addresses, endpoint.Addr()) &&
			slices.ContainsFunc(svc.Ports, func(sp discovery.ServicePort) bool { return sp.Port == endpoint.Port() })
}

// peerOptions are the peers that export the service port with endpoints that take connections, and can be reached.
func (p *Proxy) peerOptions(svc *discovery.Service, g *group, caller discovery.Locality) []option {
	set, now := g.policy(), time.Now()
	var out []option
	for i := range svc.Peers {
		e := &svc.Peers[i]
		n, terminating := servingAt(e, g.key.port)
		state := p.cfg.Tunnels.State(e.Peer)
		if n == 0 || !state.Usable || !g.key.takesPeer(e.Peer) {
			continue
		}
		k := targetKey{peer: e.Peer}
		t, h := g.health(k, now)
		if t == nil {
			continue
		}
		at, where := peerRank(caller, e, g.key.port, terminating, &set, state.RTT)
		out = append(out, option{
			target: t, key: k, cluster: e.Peer, locality: where, rank: at, rtt: state.RTT,
			load: float64(t.active.Load()) / float64(n), share: h.share, terminating: terminating, last: h.last,
		})
	}
	return out
}
