package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/eastway/eastway/discovery"
)

// peersGrace is how long a new proxy waits for its first tunnels before it is ready all the same: an update replaces one that
// had tunnels, and a peer that cannot be reached must not hold up the rest.
const peersGrace = 5 * time.Second

// gate keeps a new proxy from being ready until calls can use what its peers export, or it has waited long enough. Once open it
// stays so.
type gate struct {
	mu    sync.Mutex
	open  bool
	since time.Time // of the first check
	heard uint64    // the catalog's revision once no peer was missing
}

// check is nil once no peer is missing and its exports are in use, or it has waited for long enough. The catalog is at a revision,
// calls use that of used.
func (g *gate) check(now time.Time, missing []string, catalog, used uint64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.since.IsZero() {
		g.since = now
	}
	if g.heard == 0 && len(missing) == 0 {
		g.heard = catalog
	}
	switch {
	case g.open, g.heard > 0 && used >= g.heard, now.Sub(g.since) >= peersGrace:
		g.open = true
		return nil
	case g.heard > 0:
		return fmt.Errorf("the peers' exports are not in use yet (waiting for at most %v)", peersGrace)
	default:
		return fmt.Errorf("no tunnel yet to %s (waiting for at most %v)", strings.Join(missing, ", "), peersGrace)
	}
}

// ready is nil while new connections are wanted.
func (p *proxy) ready() error {
	if p.draining.Load() {
		return errors.New("draining")
	}
	return p.serving()
}

// serving is nil as soon as new connections are wanted and for as long as connections are carried.
func (p *proxy) serving() error {
	if p.draining.Load() {
		return nil
	}
	if p.failover.Revision() == 0 {
		return errors.New("the manifests have not been read yet")
	}
	if err := p.failover.Ready(); err != nil {
		return err
	}
	missing := p.unheard(p.catalog.Snapshot())
	// The revision is read after the peers were heard, so that their exports are in it.
	catalog, used := p.catalog.Snapshot().Revision, p.failover.Revision()
	if !p.failover.SeesPeers() {
		used = 0 // what only peers serve may not be listened for yet
	}
	return p.gate.check(time.Now(), missing, catalog, used)
}

// unheard are the peers, sorted, which this proxy dials and which have no tunnel or have not sent their exports. Those that
// dial this one may find it only once it is ready.
func (p *proxy) unheard(s *discovery.Snapshot) []string {
	var names []string
	for name, peer := range s.Peers {
		if len(peer.Spec.Addresses) > 0 && (!p.node.State(name).Usable || !p.catalog.Heard(name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
