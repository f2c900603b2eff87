package balance

import (
	"maps"
	"sync/atomic"
	"time"

	"github.com/eastway/eastway/discovery"
)

// apply brings the group's targets and policy in line with the catalog.
func (g *group) apply(own string, svc *discovery.Service, p policy) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.policy.rateLimit != p.rateLimit {
		g.limits.Set(p.rateLimit)
	}
	g.policy = p
	if soon := time.Now().Add(p.interval); !g.nextSweep.IsZero() && soon.Before(g.nextSweep) {
		g.nextSweep = soon
		g.events.sweepAt(g)
	}
	standings, first := g.standings(own, svc), g.targets == nil
	if first { // how long they have been ready is not known
		g.targets = make(map[Address]*target, len(standings))
	}
	best := standingOut
	for _, s := range standings {
		best = max(best, s)
	}
	unhealthy := unhealthy(svc, g.key.Port)
	for a, s := range standings {
		t := g.targets[a]
		if t == nil {
			t = newTarget(a, g, first)
		}
		if g.stands(t, s, unhealthy[a]) && !first && a.Peer == "" { // a peer's own proxy warms its endpoints up
			t.readyAt = time.Now()
		}
		t.member = s == best && s != standingOut
		t.setRoom(svc, s)
	}
	for a, t := range g.targets {
		if _, ok := standings[a]; !ok {
			g.drop(t)
		}
	}
	maps.DeleteFunc(g.left, func(_ Address, active *atomic.Int64) bool { return active.Load() == 0 })
	g.weigh()
}

// standings is what the catalog has on each place behind the service port.
func (g *group) standings(own string, svc *discovery.Service) map[Address]standing {
	out := make(map[Address]standing, len(g.targets))
	for i := range svc.Endpoints[g.key.Port] {
		if e := &svc.Endpoints[g.key.Port][i]; g.key.includes(own, e) {
			out[Address{Endpoint: e.Address}] = standingOf(e.Ready, e.Terminating)
		}
	}
	for i := range svc.Peers {
		if e := &svc.Peers[i]; g.key.includesPeer(e.Peer) {
			n, terminating := servingAt(e, g.key.Port)
			out[Address{Peer: e.Peer}] = standingOf(n > 0 && !terminating, terminating)
		}
	}
	return out
}

// stands brings a target in line with the catalog and returns true if it has become ready and healthy.
func (g *group) stands(t *target, s standing, unhealthy bool) (risen bool) {
	if s == standingReady && t.standing != standingReady {
		g.retry(t)
	}
	if s > t.standing {
		g.reached(t)
	}
	risen = s == standingReady && !unhealthy && (t.standing != standingReady || t.unhealthy)
	t.standing, t.unhealthy = s, unhealthy
	return risen
}

// unhealthy are the endpoints of the own cluster that fail their health check.
func unhealthy(svc *discovery.Service, port uint16) map[Address]bool {
	var out map[Address]bool
	for i := range svc.Endpoints[port] {
		if e := &svc.Endpoints[port][i]; e.Unhealthy != "" {
			if out == nil {
				out = make(map[Address]bool)
			}
			out[Address{Endpoint: e.Address}] = true
		}
	}
	return out
}

func (g *group) drop(t *target) {
	t.gone = true
	delete(g.targets, t.address)
	if g.left == nil {
		g.left = make(map[Address]*atomic.Int64)
	}
	g.left[t.address] = t.active
	if t.isEjected() {
		g.events.returned(t)
	}
}

func (g *group) clear() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range g.targets {
		g.drop(t)
	}
	g.nextSweep = time.Time{}
}
