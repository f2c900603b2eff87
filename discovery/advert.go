package discovery

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/eastway/eastway/internal/hashtrie"
)

// ReplicaID identifies one replica of a peer.
type ReplicaID struct {
	Peer    string
	Replica string
}

// Update is a change, or a snapshot, of what one replica of a peer advertises of its cluster's exports.
type Update struct {
	// Epoch is the run of that replica: newer runs have larger ones.
	Epoch uint64
	// Base is the revision that the update builds on; 0 for a snapshot, which replaces everything before.
	Base uint64
	// Revision is reached with the update.
	Revision uint64
	// Exports are the services whose metadata changed; a new one is in Readiness too.
	Exports map[ServiceName]Metadata
	// Readiness replaces everything about a service's endpoints.
	Readiness map[ServiceName]Endpoints
	// Withdrawn are no longer exported; a service that never was is no error.
	Withdrawn []ServiceName
}

// Metadata is the part of an export that rarely changes.
type Metadata struct {
	Ports  []ServicePort
	Spec   ServiceSpec
	Export Export
}

// Endpoints are what a peer advertises of a service's endpoints.
type Endpoints struct {
	Rows []Readiness
	// Pods of a headless service, sorted by name.
	Pods []Pod
}

// Errors of UpdateRemote.
var (
	// ErrUnknownPeer: there is no Peer manifest of that name.
	ErrUnknownPeer = errors.New("discovery: no such peer")
	// ErrGap: the update builds on a state that the catalog does not have; request a snapshot.
	ErrGap = errors.New("discovery: update does not follow the last one")
)

// InvalidError is a message of a peer that violates the protocol.
type InvalidError struct {
	// Field of the message, such as "update.exports[3].ports[0].port".
	Field  string
	Reason string
}

func (e *InvalidError) Error() string {
	return fmt.Sprintf("discovery: invalid message from peer: %s: %s", e.Field, e.Reason)
}

func invalid(field, format string, args ...any) error {
	return &InvalidError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// peerAdverts are the adverts of one peer's replicas.
//
// They converge, so one is current at a time: of the replicas that are linked, the one with the newest epoch (the process
// that started last; all importers choose the same). Following the newest message instead would let the catalog alternate
// between a replica and a slower one. When the last link ends, its advert is kept until another replica sends one: an
// unreachable peer has not withdrawn anything.
type peerAdverts struct {
	replicas  map[string]*advert
	current   *advert // nil before the first one
	holdings  holdings
	admission *admission
}

// advert is what one replica advertises.
type advert struct {
	replica  string
	epoch    uint64
	revision uint64
	linked   bool
	cost     int  // bytes, estimated
	held     bool // exports are counted in the peer's holdings
	exports  hashtrie.Map[ServiceName, *PeerExport]
}

// newer orders adverts: the later run wins, between equals the name, so that all proxies choose the same.
func (a *advert) newer(o *advert) bool {
	if a.epoch != o.epoch {
		return a.epoch > o.epoch
	}
	return a.replica > o.replica
}

func (p *peerAdverts) export(name ServiceName) *PeerExport {
	if p.current == nil {
		return nil
	}
	return p.current.exports.Get(name)
}

func (p *peerAdverts) addNames(to map[ServiceName]struct{}) {
	if p.current == nil {
		return
	}
	for n := range p.current.exports.All() {
		to[n] = struct{}{}
	}
}

// denied is how many of the exports may not be imported, or not be used for a service that is here.
func (a *advert) denied(by *Peer, here *Local) int {
	n := 0
	for name := range a.exports.All() {
		if allowed, _ := MayImport(by, here.Namespace, name); !allowed || !consents(by, here.Services.Get(name)) {
			n++
		}
	}
	return n
}

// elect chooses the current advert and drops those of replicas that are no longer linked.
func (p *peerAdverts) elect() {
	var best *advert
	for _, a := range p.replicas {
		if a.linked && (best == nil || a.newer(best)) {
			best = a
		}
	}
	if best == nil {
		return // the last advert stays
	}
	p.current = best
	for name, a := range p.replicas {
		if !a.linked {
			p.holdings.releaseAll(a)
			delete(p.replicas, name)
		}
	}
}

// UpdateRemote applies an update of a linked replica of a peer: all of it or, with an error, nothing. It takes ownership
// of u. The errors are ErrUnknownPeer, ErrGap and *InvalidError.
func (c *Catalog) UpdateRemote(link ReplicaID, u Update) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.local.Peers[link.Peer] == nil {
		return fmt.Errorf("%w: %q: import its Peer manifest", ErrUnknownPeer, link.Peer)
	}
	p := c.peers[link.Peer]
	if p == nil {
		p = &peerAdverts{replicas: map[string]*advert{}, admission: newAdmission(quotaOf(c.local.Peers[link.Peer]))}
	}
	a, err := p.base(link, &u)
	if err != nil {
		return err
	}
	staged, cost, err := p.stage(link.Peer, a, &u)
	if err != nil {
		return err
	}
	p.replicas[link.Replica] = a
	if c.peers[link.Peer] == nil {
		c.peers[link.Peer] = p
		c.peerNames = append(c.peerNames, link.Peer)
		slices.Sort(c.peerNames)
	}
	before := p.current
	p.holdings.commit(a, staged, u.Base == 0)
	changed := a.commit(staged, &u)
	a.cost = cost
	p.elect()
	dirty := map[ServiceName]struct{}{}
	if before == a {
		for _, n := range changed {
			dirty[n] = struct{}{}
		}
	}
	c.publishElection(link.Peer, p, before, dirty)
	c.peersChanged.Notify()
	return nil
}

// base returns the advert that the update builds on, a new one for the first snapshot of a replica.
func (p *peerAdverts) base(link ReplicaID, u *Update) (*advert, error) {
	a := p.replicas[link.Replica]
	switch {
	case u.Base == 0 && a == nil:
		if len(p.replicas) >= maxReplicas {
			return nil, invalid("replica", "peer %q has more than %d replicas", link.Peer, maxReplicas)
		}
		a = &advert{replica: link.Replica}
		if p.current != nil {
			a.exports = p.current.exports // to share what is the same
		}
	case u.Base != 0 && (a == nil || !a.linked || a.epoch != u.Epoch || a.revision != u.Base):
		return nil, ErrGap
	}
	return a, nil
}

// ForgetReplica ends the link with a replica. Its advert stays only while no other replica of its cluster is linked.
func (c *Catalog) ForgetReplica(link ReplicaID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[link.Peer]
	if p == nil || p.replicas[link.Replica] == nil {
		return
	}
	before := p.current
	p.replicas[link.Replica].linked = false
	p.elect()
	c.publishElection(link.Peer, p, before, map[ServiceName]struct{}{})
	c.peersChanged.Notify()
}

// publishElection adds to dirty what differs between the current advert and the one before, and publishes. c.mu is held.
func (c *Catalog) publishElection(peer string, p *peerAdverts, before *advert, dirty map[ServiceName]struct{}) {
	if p.current != before {
		var was hashtrie.Map[ServiceName, *PeerExport]
		if before != nil {
			was = before.exports
		}
		is := p.current.exports
		for n := range hashtrie.Differing(was, is) {
			if !equalPeerExport(was.Get(n), is.Get(n)) {
				dirty[n] = struct{}{}
			}
		}
	}
	if len(dirty) > 0 {
		p.admit(c.local.Peers[peer], c.local.Namespace, dirty)
		c.publish(dirty)
	}
}

// stage checks the update against the advert that it builds on, without altering anything. It returns the new form of
// each export that the update names, nil for one that is withdrawn, and the cost of the advert with them.
func (p *peerAdverts) stage(peer string, a *advert, u *Update) (staged map[ServiceName]*PeerExport, cost int, err error) {
	base := a.exports
	cost = a.cost
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
		staged[n] = p.known(a, n, e)
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
	if cost > maxAdvertBytes {
		return nil, 0, invalid("update", "the exports need more than %d MiB of memory", maxAdvertBytes>>20)
	}
	if p.holdings.with(a, staged, u.Base == 0) > maxPeerBytes {
		return nil, 0, invalid("update",
			"the exports of all replicas of the peer need more than %d MiB of memory: end its replicas that export something else", maxPeerBytes>>20)
	}
	return staged, cost, a.checkCount(staged, u)
}

// known returns the equal export that is already held, if there is one: the adverts of a peer share their memory, and an
// export that is sent again is no change.
func (p *peerAdverts) known(a *advert, n ServiceName, e *PeerExport) *PeerExport {
	if old := a.exports.Get(n); equalPeerExport(old, e) {
		return old
	}
	if old := p.export(n); equalPeerExport(old, e) {
		return old
	}
	return e
}

func (a *advert) checkCount(staged map[ServiceName]*PeerExport, u *Update) error {
	count := 0
	if u.Base != 0 {
		count = a.exports.Len()
	}
	for n, e := range staged {
		had := u.Base != 0 && a.exports.Get(n) != nil
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

// commit makes the staged exports part of the advert and returns those that changed.
func (a *advert) commit(staged map[ServiceName]*PeerExport, u *Update) (changed []ServiceName) {
	if u.Base == 0 {
		for n := range a.exports.All() {
			if staged[n] == nil {
				staged[n] = nil
			}
		}
	}
	for n, e := range staged {
		if a.exports.Get(n) != e {
			changed = append(changed, n)
		}
		if e == nil {
			a.exports = a.exports.Without(n)
		} else {
			a.exports = a.exports.With(n, e)
		}
	}
	a.epoch, a.revision, a.linked = u.Epoch, u.Revision, true
	return changed
}

// checkRows checks that readiness is about the service's own ports only.
func checkRows(n ServiceName, e *PeerExport) error {
	for _, r := range e.Readiness {
		if !slices.ContainsFunc(e.Ports, func(p ServicePort) bool { return p.Port == r.Port }) {
			return invalid("update.readiness", "service %s has no port %d", n, r.Port)
		}
	}
	return nil
}

func equalPeerExport(a, b *PeerExport) bool {
	if a == b {
		return true
	}
	if a == nil || b == nil {
		return false
	}
	m := a.metadata()
	return a.Peer == b.Peer && m.equal(new(b.metadata())) && slices.Equal(a.Readiness, b.Readiness) && slices.Equal(a.Pods, b.Pods)
}

func (x *PeerExport) metadata() Metadata {
	return Metadata{Ports: x.Ports, Spec: x.Spec, Export: x.Export}
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
	for _, values := range []map[string]string{e.Export.Labels, e.Export.Annotations} {
		for k, v := range values {
			cost += entry + len(k) + len(v)
		}
	}
	return cost
}
