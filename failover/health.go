package failover

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eastway/eastway/discovery"
)

// portKey names one port of one service, or of one pod of a headless service.
type portKey struct {
	service discovery.ServiceName
	port    uint16
	pod     discovery.PodRef // zero: any
}

// takes tells whether an endpoint of the own cluster is meant by the key.
func (k portKey) takes(own string, e *discovery.Endpoint) bool {
	return k.pod == discovery.PodRef{} || k.pod == discovery.PodRef{Cluster: own, Hostname: e.Hostname}
}

// takesPeer tells the same of a peer.
func (k portKey) takesPeer(peer string) bool { return k.pod.Cluster == "" || k.pod.Cluster == peer }

// targetKey names a place behind a service port: a local address, or a peer.
type targetKey struct {
	address netip.AddrPort
	peer    string
}

// String is the address or the peer's name.
func (k targetKey) String() string {
	if k.peer != "" {
		return k.peer
	}
	return k.address.String()
}

// state is where a target is in its outlier check.
type state int

const (
	stateOK state = iota
	stateEjected
	stateProbing
	stateRamping
)

// Kinds of failures, as the metric of ejections names them.
const (
	// kindLocal: a local endpoint refused, reset or did not take the connection in time.
	kindLocal = "local"
	// kindPeer: the peer answered that none of its endpoints takes connections of this service.
	kindPeer = "peer"
	// kindProbe: an ejected target failed its probe.
	kindProbe = "probe"
)

// standing is what the catalog says of a target.
type standing int

const (
	standingOut standing = iota // it takes no connections
	standingTerminating
	standingReady
)

func standingOf(ready, terminating bool) standing {
	switch {
	case ready:
		return standingReady
	case terminating:
		return standingTerminating
	}
	return standingOut
}

// target is the memory about one place: what is in flight there and its outlier check.
// A broken lane is no failure of a target, the tunnel's state tells of it.
type target struct {
	key   targetKey
	group *group
	// active counts attempts and connections in flight.
	active atomic.Int64

	// The rest is guarded by group.mu.
	state     state
	failures  uint32 // in a row
	ejections int    // in a row, forgotten one by one while healthy
	until     time.Time
	tried     time.Time // when it was ejected, or last probed in vain
	early     bool      // its next probe comes before its ejection is over, so that a failure is not held against it
	rampFrom  time.Time
	heldUntil time.Time
	standing  standing
	member    bool // counts in the denominator
	gone      bool // no longer in the catalog
}

// isEjected: no connection is given to it unless all else failed.
func (t *target) isEjected() bool { return t.state == stateEjected || t.state == stateProbing }

// group is all targets of one service port.
type group struct {
	key    portKey
	events events

	mu        sync.Mutex
	settings  settings
	targets   map[targetKey]*target
	nextSweep time.Time // zero: nothing to sweep
}

// events is what a group tells of; the table implements it.
type events interface {
	// ejected tells that t is ejected for d, again when it was ejected before and failed its probe.
	ejected(t *target, kind string, d time.Duration, again bool)
	// returned tells that t is no longer ejected.
	returned(t *target)
	sweepAt(g *group)
	probeNow(t *target)
}

func newGroup(key portKey, s settings, e events) *group {
	return &group{key: key, events: e, settings: s, targets: make(map[targetKey]*target)}
}

// policy is the group's settings now.
func (g *group) policy() settings {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.settings
}

// health is a target's part in ordering.
type health struct {
	state state
	share float64
	last  bool
	left  time.Duration // of the ejection
}

func (g *group) health(k targetKey, now time.Time) (*target, health) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.targets[k]
	if t == nil {
		return nil, health{share: 1}
	}
	h := health{state: t.state, share: 1, last: now.Before(t.heldUntil)}
	switch t.state {
	case stateEjected:
		h.last, h.left = true, max(t.until.Sub(now), 0)
	case stateProbing:
		h.last = true
	case stateRamping:
		h.share = min(rampStart+(1-rampStart)*float64(now.Sub(t.rampFrom))/float64(rampTime), 1)
		if h.share == 1 {
			h.state = stateOK
		}
	}
	return t, h
}

// succeeded takes in that t accepted a connection. An ejected one that was tried as last resort has passed its probe by that.
func (g *group) succeeded(t *target) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.failures = 0
	if t.isEjected() {
		g.ramp(t)
	}
}

// failed takes in that t did not accept a connection.
func (g *group) failed(t *target, kind string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.gone || t.isEjected() || g.settings.consecutive == 0 {
		return
	}
	t.failures++
	g.sweepSoon()
	// One that was only just let back has no credit.
	if t.failures >= g.settings.consecutive || t.state == stateRamping {
		if g.mayEject() {
			g.eject(t, kind)
		}
	}
}

// hold leaves t alone for a while because it asked for that.
func (g *group) hold(t *target, d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.heldUntil = time.Now().Add(min(d, maxHold))
}

// mayEject keeps the share of ejected targets within the policy, and one always out of ejection.
func (g *group) mayEject() bool {
	members, ejected := 0, 1
	for _, t := range g.targets {
		if !t.member {
			continue
		}
		members++
		if t.isEjected() {
			ejected++
		}
	}
	return ejected < members && ejected*100 <= g.settings.maxPercent*members
}

func (g *group) eject(t *target, kind string) {
	again := t.isEjected()
	t.ejections++
	d := min(g.settings.baseEjection*time.Duration(t.ejections), max(maxEjection, g.settings.baseEjection))
	t.state, t.failures, t.early, t.tried, t.until = stateEjected, 0, false, time.Now(), time.Now().Add(d)
	g.sweepSoon()
	g.events.ejected(t, kind, d, again)
}

func (g *group) ramp(t *target) {
	t.state, t.failures, t.rampFrom = stateRamping, 0, time.Now()
	g.sweepSoon()
	g.events.returned(t)
}

// retry has an ejected target that is ready again probed without waiting for the end of its ejection: what failed was not ready,
// or is not what is ready now. It does so once in an interval, for a peer can say this as often as it likes.
func (g *group) retry(t *target) {
	switch soonest := t.tried.Add(g.settings.interval); {
	case t.state == stateProbing:
		t.early = true
	case t.state != stateEjected:
	case time.Now().Before(soonest):
		if soonest.Before(t.until) {
			t.early, t.until = true, soonest
		}
	default:
		t.early, t.state = true, stateProbing
		g.events.probeNow(t)
	}
}

// sweepSoon has the group swept after its interval, if it is not waiting for that already.
func (g *group) sweepSoon() {
	if g.nextSweep.IsZero() {
		g.nextSweep = time.Now().Add(g.settings.interval)
		g.events.sweepAt(g)
	}
}

// sweep ends ramps, forgets past ejections of what stayed healthy for an interval, and returns the targets whose
// ejection is over and that are to be probed now. It says when to sweep again; zero is never.
func (g *group) sweep(now time.Time) (probes []*target, next time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Before(g.nextSweep) {
		return nil, g.nextSweep
	}
	g.nextSweep = time.Time{}
	for _, t := range g.targets {
		switch t.state {
		case stateOK:
			if t.failures == 0 {
				t.ejections = max(t.ejections-1, 0)
			}
		case stateEjected:
			if !now.Before(t.until) {
				t.state = stateProbing
				probes = append(probes, t)
			}
		case stateRamping:
			if now.Sub(t.rampFrom) >= rampTime {
				t.state = stateOK
			}
		}
		if t.state != stateOK || t.ejections > 0 {
			g.nextSweep = now.Add(g.settings.interval)
		}
	}
	return probes, g.nextSweep
}

// probed takes in how a probe went; inconclusive means that it could not be made.
func (g *group) probed(t *target, passed, inconclusive bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.gone || t.state != stateProbing {
		return
	}
	early := t.early
	t.early = false
	switch {
	case passed:
		g.ramp(t)
	case inconclusive, early: // or it was too early
		t.state, t.tried = stateEjected, time.Now()
		t.until = t.tried.Add(g.settings.interval)
		g.sweepSoon()
	default:
		g.eject(t, kindProbe)
	}
}
