package discovery

import (
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/internal/notify"
)

// Catalog joins what the own cluster's source found with what peers export.
// Its methods may be called from any goroutine.
type Catalog struct {
	snapshot atomic.Pointer[Snapshot]

	mu        sync.Mutex
	changed   notify.Broadcast // with each snapshot
	local     Local
	peers     map[string]*peerAdverts
	peerNames []string // keys of peers, sorted
	exports   exports
	unhealthy unhealthy

	peersChanged notify.Broadcast // with each advert of a peer
	peerAdded    notify.Broadcast // with each Peer that is new or has another SPIFFE ID
}

// NewCatalog returns an empty catalog, at revision 0, whose metrics are registered on reg unless that is nil.
func NewCatalog(reg prometheus.Registerer) *Catalog {
	c := &Catalog{
		peers: map[string]*peerAdverts{}, unhealthy: unhealthy{},
	}
	c.snapshot.Store(&Snapshot{})
	if reg != nil {
		reg.MustRegister(newCatalogCollector(c))
	}
	return c
}

// Snapshot is everything known now. It costs an atomic load; revision 0 means that no source has set the local state yet.
func (c *Catalog) Snapshot() *Snapshot { return c.snapshot.Load() }

// Changed returns a channel that is closed when there is a newer Snapshot than the present one. Several changes wake the
// caller once. Take the channel first, then the snapshot, so that no change is missed:
//
//	for {
//		changed := catalog.Changed()
//		use(catalog.Snapshot())
//		<-changed
//	}
func (c *Catalog) Changed() <-chan struct{} { return c.changed.Changed() }

// SetLocal replaces everything that is known of the own cluster, and takes ownership of l: nothing in it may be changed
// afterwards. What is equal to before makes no new snapshot.
//
// A peer that is no longer in l.Peers, or has another SPIFFE ID there, loses what it had exported.
func (c *Catalog) SetLocal(l Local) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dirty := c.local.differing(&l)
	covered(dirty, c.Snapshot().Services) // what is new is in it
	names := slices.Collect(maps.Keys(dirty))
	c.regulatePeers(&l, dirty)
	same := c.Snapshot().Revision > 0 && len(dirty) == 0 &&
		maps.EqualFunc(c.local.Peers, l.Peers, equalPeer) && hashtrie.Equal(c.local.Localities, l.Localities) &&
		slices.Equal(c.local.Networks, l.Networks) && c.local.Proxies == l.Proxies &&
		slices.Equal(c.local.ProxyAddresses, l.ProxyAddresses)
	if same {
		return
	}
	for name, is := range l.Peers {
		if was := c.local.Peers[name]; was == nil || was.Spec.SPIFFEID != is.Spec.SPIFFEID {
			c.peerAdded.Notify()
			break
		}
	}
	was := c.local.Peers
	c.local = l
	c.exports.update(names, c.own, was, l.Peers)
	c.publish(dirty)
}

// regulatePeers applies other versions of Peers to their adverts, and adds the exports to dirty that this may concern. c.mu is held.
func (c *Catalog) regulatePeers(l *Local, dirty map[ServiceName]struct{}) {
	for name, adverts := range c.peers {
		was, is := c.local.Peers[name], l.Peers[name]
		if is == nil || was.Spec.SPIFFEID != is.Spec.SPIFFEID {
			adverts.addNames(dirty)
			c.dropPeer(name)
			c.peersChanged.Notify()
			continue
		}
		if rules := !reflect.DeepEqual(was.Spec.Imports, is.Spec.Imports); rules || !reflect.DeepEqual(was.Spec.Quota, is.Spec.Quota) {
			adverts.regulate(is, l.Namespace, rules, dirty)
		}
		if !slices.Equal(was.Spec.Localities, is.Spec.Localities) {
			adverts.addNames(dirty)
		}
	}
}

// lacks is true if there is a Peer, but no advert of the replica. It lacks an advert that it had when a Peer is deleted and made
// again so fast that the link stays.
func (c *Catalog) lacks(link ReplicaID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[link.Peer]
	return c.local.Peers[link.Peer] != nil && (p == nil || p.replicas[link.Replica] == nil)
}

func (c *Catalog) dropPeer(name string) {
	delete(c.peers, name)
	c.peerNames = slices.DeleteFunc(c.peerNames, func(n string) bool { return n == name })
}

// publish makes the next snapshot, in which only the services named in dirty are merged again. c.mu is held.
func (c *Catalog) publish(dirty map[ServiceName]struct{}) {
	old := c.Snapshot()
	next := &Snapshot{
		Revision:   old.Revision + 1,
		Services:   old.Services,
		Peers:      c.local.Peers,
		Localities: c.local.Localities,
		Networks:   c.local.Networks,
		Proxies:    c.local.Proxies, ProxyAddresses: c.local.ProxyAddresses,
		Excess: c.excesses(),
	}
	for name := range dirty {
		if s := c.merge(name); s != nil {
			next.Services = next.Services.With(name, s)
		} else {
			next.Services = next.Services.Without(name)
		}
	}
	c.snapshot.Store(next)
	c.changed.Notify()
}

// merge joins the own service of that name with the peers' exports of it; nil when there is none of either. c.mu is held.
func (c *Catalog) merge(name ServiceName) *Service {
	local, policy := c.own(name), c.local.policy(name)
	peers, unused := c.exporters(name, local)
	if local == nil && len(peers) == 0 {
		return nil
	}
	s := &Service{Name: name}
	if local != nil {
		*s = *local
	}
	s.Peers, s.Unused, s.Policy = peers, unused, policy
	for _, e := range s.inPrecedence() {
		s.Ports = unionPorts(s.Ports, e.Ports)
	}
	return s
}

// exporters are the peers that export the service, may, and have quota for it, in the order of their names; unused those that the own
// service is not shared with. c.mu is held.
func (c *Catalog) exporters(name ServiceName, local *Service) (peers []PeerExport, unused []string) {
	for _, peer := range c.peerNames {
		e := c.peers[peer].export(name)
		if e == nil || !c.peers[peer].admission.admits(name) {
			continue
		}
		by := c.local.Peers[peer]
		switch allowed, _ := MayImport(by, c.local.Namespace, name); {
		case !allowed:
		case !consents(by, local):
			unused = append(unused, peer)
		default:
			peers = append(peers, e.within(&by.Spec))
		}
	}
	return peers, unused
}

// unionPorts adds to ports those of more that have another number or protocol; ports itself stays as it is.
func unionPorts(ports, more []ServicePort) []ServicePort {
	ports = slices.Clip(ports)
	for _, p := range more {
		known := slices.ContainsFunc(ports, func(o ServicePort) bool { return o.Port == p.Port && o.Protocol == p.Protocol })
		if !known {
			ports = append(ports, p)
		}
	}
	return ports
}
