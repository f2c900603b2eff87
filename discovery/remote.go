package discovery

import (
	"fmt"
	"slices"
	"time"

	"github.com/eastway/eastway/internal/hashtrie"
)

// UpdateRemote takes what a linked replica of a peer told. Either all of the update counts or, with an error, nothing.
// It takes ownership of u. The errors are ErrUnknownPeer, ErrGap and *InvalidError.
func (c *Catalog) UpdateRemote(link Link, u Update) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.local.Peers[link.Peer] == nil {
		return fmt.Errorf("%w: %q: import its Peer manifest", ErrUnknownPeer, link.Peer)
	}
	p := c.peers[link.Peer]
	if p == nil {
		p = &peerWords{replicas: map[string]*word{}}
	}
	w := p.replicas[link.Replica]
	switch {
	case u.Base == 0 && w == nil:
		if len(p.replicas) >= maxReplicas {
			return invalid("replica", "peer %q has more than %d replicas", link.Peer, maxReplicas)
		}
		w = &word{replica: link.Replica}
		if p.believed != nil {
			w.exports = p.believed.exports // to share with it what is the same
		}
	case u.Base != 0 && (w == nil || !w.linked || w.epoch != u.Epoch || w.revision != u.Base):
		return ErrGap
	}
	staged, cost, err := p.stage(link.Peer, w, &u)
	if err != nil {
		return err
	}
	p.replicas[link.Replica] = w
	if c.peers[link.Peer] == nil {
		c.peers[link.Peer] = p
		c.peerNames = append(c.peerNames, link.Peer)
		slices.Sort(c.peerNames)
	}
	before := p.believed
	changed := w.commit(staged, &u)
	w.cost = cost
	p.elect()
	dirty := map[ServiceName]struct{}{}
	if before == w {
		for _, n := range changed {
			dirty[n] = struct{}{}
		}
	}
	c.publishElection(p, before, dirty)
	c.peersChanged.Notify()
	return nil
}

// ForgetReplica says that the link ended. What the replica told stays only as long as no other replica speaks for its cluster.
func (c *Catalog) ForgetReplica(link Link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[link.Peer]
	if p == nil || p.replicas[link.Replica] == nil {
		return
	}
	before := p.believed
	p.replicas[link.Replica].linked = false
	p.elect()
	c.publishElection(p, before, map[ServiceName]struct{}{})
	c.peersChanged.Notify()
}

// publishElection adds to dirty what differs between the word believed before and the present one, and publishes. c.mu is held.
func (c *Catalog) publishElection(p *peerWords, before *word, dirty map[ServiceName]struct{}) {
	if p.believed != before {
		var was hashtrie.Map[ServiceName, *PeerExport]
		if before != nil {
			was = before.exports
		}
		is := p.believed.exports
		for n := range hashtrie.Differing(was, is) {
			if !equalExport(was.Get(n), is.Get(n)) {
				dirty[n] = struct{}{}
			}
		}
	}
	if len(dirty) > 0 {
		c.publish(dirty)
	}
}

// stage checks the update against the word that it builds on, without altering anything. It returns the new form of
// each export that the update names, nil for one that is withdrawn, and what the word will cost.
func (p *peerWords) stage(peer string, w *word, u *Update) (staged map[ServiceName]*PeerExport, cost int, err error) {
	base := w.exports
	cost = w.cost
	if u.Base == 0 {
		base, cost = hashtrie.Map[ServiceName, *PeerExport]{}, 0
	}
	now := time.Now()
	staged = make(map[ServiceName]*PeerExport, len(u.Exports)+len(u.Readiness)+len(u.Withdrawn))
	for n, m := range u.Exports {
		e := &PeerExport{Peer: peer, Ports: m.Ports, Spec: m.Spec, Export: m.Export, Since: now}
		if old := base.Get(n); old != nil {
			e.Readiness, e.Pods = old.Readiness, old.Pods
		}
		staged[n] = e
	}
	for n, r := range u.Readiness {
		e := staged[n]
		if e == nil {
			old := base.Get(n)
			if old == nil {
				return nil, 0, invalid("update.readiness", "service %s is not exported", n)
			}
			e = &PeerExport{Peer: peer, Ports: old.Ports, Spec: old.Spec, Export: old.Export, Since: now}
			staged[n] = e
		}
		e.Readiness, e.Pods = r.Rows, r.Pods
	}
	for n, e := range staged {
		if err := checkRows(n, e); err != nil {
			return nil, 0, err
		}
		cost += exportCost(n, e) - exportCost(n, base.Get(n))
		staged[n] = p.known(w, n, e)
	}
	for _, n := range u.Withdrawn {
		if staged[n] != nil {
			return nil, 0, invalid("update.withdrawn", "service %s is exported in the same update", n)
		}
		if _, twice := staged[n]; !twice {
			cost -= exportCost(n, base.Get(n))
			staged[n] = nil
		}
	}
	if cost > maxWordBytes {
		return nil, 0, invalid("update", "the exports need more than %d MiB of memory", maxWordBytes>>20)
	}
	return staged, cost, w.checkCount(staged, u)
}

// known returns the equal export that is already held, if there is one: the replicas of a peer share their memory,
// and what is told again is no change.
func (p *peerWords) known(w *word, n ServiceName, e *PeerExport) *PeerExport {
	if old := w.exports.Get(n); equalExport(old, e) {
		return old
	}
	if old := p.export(n); equalExport(old, e) {
		return old
	}
	return e
}

func (w *word) checkCount(staged map[ServiceName]*PeerExport, u *Update) error {
	count := 0
	if u.Base != 0 {
		count = w.exports.Len()
	}
	for n, e := range staged {
		had := u.Base != 0 && w.exports.Get(n) != nil
		switch {
		case e != nil && !had:
			count++
		case e == nil && had:
			count--
		}
	}
	if count > MaxServices {
		return invalid("update.exports", "%d services, at most %d", count, MaxServices)
	}
	return nil
}

// commit makes the staged exports the word's and names those that changed.
func (w *word) commit(staged map[ServiceName]*PeerExport, u *Update) (changed []ServiceName) {
	if u.Base == 0 {
		for n := range w.exports.All() {
			if staged[n] == nil {
				staged[n] = nil
			}
		}
	}
	for n, e := range staged {
		if w.exports.Get(n) != e {
			changed = append(changed, n)
		}
		if e == nil {
			w.exports = w.exports.Without(n)
		} else {
			w.exports = w.exports.With(n, e)
		}
	}
	w.epoch, w.revision, w.linked = u.Epoch, u.Revision, true
	return changed
}

// checkRows makes sure that readiness is told of the service's own ports only.
func checkRows(n ServiceName, e *PeerExport) error {
	for _, r := range e.Readiness {
		if !slices.ContainsFunc(e.Ports, func(p ServicePort) bool { return p.Port == r.Port }) {
			return invalid("update.readiness", "service %s has no port %d", n, r.Port)
		}
	}
	return nil
}

func equalExport(a, b *PeerExport) bool {
	if a == b {
		return true
	}
	return a != nil && b != nil && a.Peer == b.Peer && slices.Equal(a.Ports, b.Ports) && slices.Equal(a.Readiness, b.Readiness) &&
		slices.Equal(a.Pods, b.Pods) && equalSpec(&a.Spec, &b.Spec) && equalOffer(&a.Export, &b.Export)
}

// exportCost estimates the memory that an export takes, in bytes.
func exportCost(n ServiceName, e *PeerExport) int {
	const service, port, row, pod, entry = 384, 64, 56, 64, 48 // the structs and map entries, without their strings
	if e == nil {
		return 0
	}
	cost := service + len(n.Namespace) + len(n.Name)
	for i := range e.Ports {
		cost += port + len(e.Ports[i].Name) + len(e.Ports[i].AppProtocol)
	}
	for i := range e.Readiness {
		cost += row + len(e.Readiness[i].Locality.Region) + len(e.Readiness[i].Locality.Zone)
	}
	for i := range e.Pods {
		cost += pod + len(e.Pods[i].Hostname) + len(e.Pods[i].Locality.Region) + len(e.Pods[i].Locality.Zone)
	}
	for _, words := range []map[string]string{e.Export.Labels, e.Export.Annotations} {
		for k, v := range words {
			cost += entry + len(k) + len(v)
		}
	}
	return cost
}
