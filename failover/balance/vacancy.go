package balance

import (
	"time"

	"github.com/eastway/eastway/discovery"
)

// vacancy is whether anything behind a service port takes connections. mayEject leaves one target in rotation, so that a port of which all
// targets are dead shows nowhere else.
type vacancy int

const (
	served     vacancy = iota
	confirming         // no target has taken a connection for missedFor, and all are probed
	vacant             // and so did all probes; they are repeated until one passes
)

// vacantProbe is the time between two rounds of probes, confirming or of a vacant port.
const vacantProbe = time.Second / 2

// Serves is true if a connection of the port has somewhere to go: an endpoint that takes connections, or a peer that has one and can be
// reached, and that not all have been found dead by probes. clusterSet is Caller.ClusterSet.
func (tb *Table) Serves(k Key, clusterSet bool) bool {
	o := tb.options(k, &Caller{Locality: tb.cfg.Locality, ClusterSet: clusterSet})
	return o != nil && len(o.candidates) > 0 && !o.group.isVacant()
}

// Turned is notified when probes have changed what Serves returns for the services of TakeTurned.
func (tb *Table) Turned() <-chan struct{} { return tb.turns }

// TakeTurned are those services since the last call.
func (tb *Table) TakeTurned() []discovery.ServiceName {
	tb.dirtyMu.Lock()
	defer tb.dirtyMu.Unlock()
	names := tb.turnedNow
	tb.turnedNow = nil
	return names
}

// turned implements events; the group's lock is held.
func (tb *Table) turned(g *group) {
	tb.dirtyMu.Lock()
	tb.turnedNow = append(tb.turnedNow, g.key.Service)
	tb.dirtyMu.Unlock()
	tb.turns.Notify()
}

func (g *group) isVacant() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.vacancy == vacant
}

// missedFor is how long a target has taken no connection before its port may be vacant: calls that fail at the same moment prove little, and
// an application is not to be probed for them.
const missedFor = time.Second

// untaken records that t has not taken a connection.
func (g *group) untaken(t *target) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if t.missed.IsZero() {
		t.missed = now
	}
	missed := func(t *target) bool { return !t.missed.IsZero() && now.Sub(t.missed) >= missedFor }
	if g.vacancy == served && !now.Before(g.probeAll) && g.all(missed) {
		g.confirm(now)
		for _, t := range g.targets {
			if t.standing != standingOut {
				g.events.probeNow(t)
			}
		}
	}
}

// confirm begins a round of probes. g.mu is held, here and below.
func (g *group) confirm(now time.Time) {
	g.vacancy, g.probeAll = confirming, now.Add(vacantProbe)
	for _, t := range g.targets {
		t.dead = false
	}
}

// reached records that t takes connections, or may again.
func (g *group) reached(t *target) {
	t.missed = time.Time{}
	was := g.vacancy
	g.vacancy = served
	if was == vacant {
		g.events.turned(g)
	}
}

// foundDead records a probe of t that failed.
func (g *group) foundDead(t *target) {
	t.dead = true
	if g.vacancy == confirming && g.all(func(t *target) bool { return t.dead }) {
		g.vacancy = vacant
		g.events.turned(g)
		g.events.sweepAt(g)
	}
}

// all is true if there are targets in service and f is true for each.
func (g *group) all(f func(*target) bool) bool {
	some := false
	for _, t := range g.targets {
		if t.standing == standingOut {
			continue
		}
		if some = true; !f(t) {
			return false
		}
	}
	return some
}

// vacantProbes are the targets of a vacant port to be probed now, and when it is due again; zero is never.
func (g *group) vacantProbes(now time.Time) (probes []*target, next time.Time) {
	if g.vacancy != vacant {
		return nil, time.Time{}
	}
	if now.Before(g.probeAll) {
		return nil, g.probeAll
	}
	g.probeAll = now.Add(vacantProbe)
	for _, t := range g.targets {
		if t.standing != standingOut {
			probes = append(probes, t)
		}
	}
	return probes, g.probeAll
}
