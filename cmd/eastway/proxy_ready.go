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

// gate keeps a new proxy from being ready until it has heard from its peers, or has waited long enough. Once open it stays so.
type gate struct {
	mu    sync.Mutex
	open  bool
	since time.Time // of the first check
}

// check is nil once no peer is missing, or some have been for long enough.
func (g *gate) check(now time.Time, missing []string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.since.IsZero() {
		g.since = now
	}
	if g.open = g.open || len(missing) == 0 || now.Sub(g.since) >= peersGrace; g.open {
		return nil
	}
	return fmt.Errorf("no tunnel yet to %s (waiting for at most %v)", strings.Join(missing, ", "), peersGrace)
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
	return p.gate.check(time.Now(), p.unheard(p.catalog.Snapshot()))
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
