package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/eastway/eastway/internal/pace"
)

// How long the phases show their state, at least, before the next fault; they
// wait longer where something has not happened yet.
const (
	holdHealthy = 6 * time.Second
	holdFault   = 8 * time.Second
	holdProxy   = 5 * time.Second
	holdReturn  = 5 * time.Second
	// holdSilent is longer than a silent peer takes to be declared dead (5 s to 10 s).
	holdSilent = 11 * time.Second
	// silentMin holds whatever the pace: shorter, nothing of that phase would be shown.
	silentMin = 7 * time.Second
)

const (
	// conditionTimeout bounds the wait for an effect of a fault.
	conditionTimeout = 15 * time.Second
	// returnTimeout bounds the wait for traffic to be back home: several ejection times
	// (they grow) and the ramp that follows.
	returnTimeout = 40 * time.Second
	// settledRun is so many answers in a row of each entry: more than a second's worth at the
	// default rate, so that what ramps up has finished.
	settledRun = 20
	// crossingRun shows that calls do go to the other cluster.
	crossingRun = 3
)

// phase is one part of the script, and what to look for in it.
type phase struct {
	name  string
	begun time.Time
	// fault is when that happened whose effect is looked for; zero: nothing is.
	fault time.Time
	// effect recognizes the first answer that shows it.
	effect func(*record) bool
	// home: the effect is a return, not an evasion.
	home bool
}

// director plays the script on a world under load.
type director struct {
	world *world
	rec   *recorder
	view  *view
	pace  float64 // multiplies how long phases last

	mu     sync.Mutex
	phases []phase
	missed []string
}

// play runs the phases one after the other.
func (d *director) play(ctx context.Context) error {
	script := []struct {
		name, what string
		run        func(context.Context) error
	}{
		{"healthy", "every chain answers from the zone where it entered", d.healthy},
		{"one mockb broken", "mockb of cn-hangzhou-h closes its port", d.oneBroken},
		{"region's mockb broken", "so does mockb of cn-hangzhou-k: the other region must answer", d.regionBroken},
		{"repaired", "both listen again", d.repaired},
		{"one proxy killed", "one of the two proxies of cn-hangzhou-k is killed (-9)", d.proxyKilled},
		{"zone's proxies killed", "so is the other one: the proxies of cn-hangzhou-h must serve both zones", d.zoneProxiesKilled},
		{"peer silent", "while calls cross, the proxies of ap-northeast-1 are stopped (SIGSTOP)", d.peerSilent},
		{"continued", "the proxies of ap-northeast-1 go on (SIGCONT)", d.continued},
		{"cluster killed", "every process of ap-northeast-1 is killed (-9), its callers too", d.clusterKilled},
		{"back", "every process of ap-northeast-1 is started again", d.back},
	}
	for i, step := range script {
		d.mu.Lock()
		d.phases = append(d.phases, phase{name: step.name, begun: time.Now()})
		d.mu.Unlock()
		d.rec.setPhase(i)
		d.view.say("== %s: %s", step.name, step.what)
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("phase %q: %w", step.name, err)
		}
	}
	return nil
}

func (d *director) healthy(ctx context.Context) error {
	return d.returned(ctx, d.zones(), holdHealthy)
}

func (d *director) oneBroken(ctx context.Context) error {
	h := d.home().zones[0]
	d.look(false, func(r *record) bool { return r.entry == h.name && answeredOutside(r, h.name) })
	if err := d.world.breakDown(ctx, only(roleMockb, h)); err != nil {
		return err
	}
	elsewhere := lastOf(crossingRun, []string{h.name}, func(r *record) bool { return answeredOutside(r, h.name) })
	return d.await(ctx, holdFault, conditionTimeout, "mockb of another zone answers for "+h.name, elsewhere)
}

func (d *director) regionBroken(ctx context.Context) error {
	d.look(false, d.crossed)
	if err := d.world.breakDown(ctx, only(roleMockb, d.home().zones[1])); err != nil {
		return err
	}
	begun := time.Now()
	err := d.await(ctx, holdFault, conditionTimeout, "mockb of the other region answers", d.crossing())
	if err == nil {
		calls, chains := crossedShare(d.world.topo, d.rec.since(begun))
		d.view.say("%s of the calls between services cross the tunnel (%s of the chains)", calls, chains)
	}
	return err
}

func (d *director) repaired(ctx context.Context) error {
	zones := d.home().zones
	d.look(true, func(r *record) bool {
		return d.entered(r, homeCluster) && r.ok() && r.mockb() == r.entry
	})
	if err := d.world.repair(ctx, only(roleMockb, zones...)); err != nil {
		return err
	}
	return d.returned(ctx, d.zones(), holdReturn)
}

func (d *director) proxyKilled(ctx context.Context) error {
	if err := d.killProxies(ctx, only(roleProxy1, d.home().zones[1])); err != nil {
		return err
	}
	return d.hold(ctx, holdProxy)
}

func (d *director) zoneProxiesKilled(ctx context.Context) error {
	h, k := d.home().zones[0], d.home().zones[1]
	// The proxies of h do not know the callers of k, and take them for callers of their own zone.
	otherZone := func(r *record) bool { return r.entry == k.name && r.ok() && r.hops[0].zone == h.name }
	d.look(false, otherZone)
	if err := d.killProxies(ctx, only(roleProxy2, k)); err != nil {
		return err
	}
	led := lastOf(crossingRun, []string{k.name}, otherZone)
	if err := d.await(ctx, holdProxy, conditionTimeout, "calls of "+k.name+" go through the proxies of "+h.name, led); err != nil {
		return err
	}
	restart := time.Now()
	if err := d.world.start(ctx, proxies(k)); err != nil {
		return err
	}
	if err := d.returned(ctx, []string{k.name}, 0); err != nil {
		return err
	}
	d.view.say("%s answers from home again %s after its proxies were started", k.name, round(time.Since(restart)))
	return d.world.awaitTunnels(ctx, homeCluster, foreignCluster)
}

// killProxies returns when no calls are led to them any more.
func (d *director) killProxies(ctx context.Context, targets []target) error {
	d.world.kill(targets)
	if err := d.world.awaitNotLed(ctx, targets); err != nil {
		return err
	}
	if took := d.world.ledger.noticed(time.Now(), processes(targets)...); took > killedGrace {
		d.view.say("this machine is busy: callers were led elsewhere after %s, %s is usual", round(took), killedGrace)
	}
	return nil
}

// peerSilent needs calls that cross at the moment of the fault, and an endpoint at
// home to answer them afterwards: mockb is broken until calls cross, and
// listens again, still ejected, when the peer goes silent.
func (d *director) peerSilent(ctx context.Context) error {
	zones := d.home().zones
	mockb := only(roleMockb, zones...)
	d.rec.setCrossing(true) // from the first call that may cross: its request may have begun before
	defer d.rec.setCrossing(false)
	if err := d.world.breakDown(ctx, mockb); err != nil {
		return err
	}
	if err := d.await(ctx, 0, conditionTimeout, "calls cross before the peer goes silent", d.crossing()); err != nil {
		return err
	}
	if err := d.world.repair(ctx, mockb); err != nil {
		return err
	}
	d.look(false, func(r *record) bool {
		return d.entered(r, homeCluster) && r.ok() && d.world.topo.clusterOf(r.mockb()) == homeCluster
	})
	stopped := proxies(d.foreign().zones...)
	if err := d.world.stop(stopped); err != nil {
		return err
	}
	d.view.say("calls cross, mockb of %s listens again but is still ejected: the peer's proxies are stopped", homeCluster)
	atHome := lastOf(crossingRun, d.home().zoneNames(), func(r *record) bool {
		return r.ok() && d.world.topo.clusterOf(r.mockb()) == homeCluster
	})
	if err := d.world.awaitPeers(ctx, peersUnreachable, homeCluster); err != nil {
		return err
	}
	if err := d.world.awaitNotLed(ctx, stopped); err != nil {
		return err
	}
	if took := d.world.ledger.noticed(time.Now(), processes(stopped)...); took > silenceGrace {
		d.view.say("this machine is busy: that they are silent was noticed everywhere after %s, %s is usual", round(took), silenceGrace)
	}
	d.view.say("callers in %s have no proxy left: they call their own zone's endpoints, as without Eastway", foreignCluster)
	// The rest of the hold is for what was under way to be given up.
	hold := max(d.scaled(holdSilent), silentMin)
	return d.awaitFor(ctx, hold, conditionTimeout, "mockb answers at home while the peer is silent", atHome)
}

func (d *director) continued(ctx context.Context) error {
	d.look(true, func(r *record) bool { return d.entered(r, foreignCluster) && r.ok() })
	if err := d.world.resume(ctx, proxies(d.foreign().zones...)); err != nil {
		return err
	}
	if err := d.world.awaitTunnels(ctx, homeCluster, foreignCluster); err != nil {
		return err
	}
	return d.returned(ctx, d.zones(), holdReturn)
}

func (d *director) clusterKilled(ctx context.Context) error {
	d.world.setCallersGone(d.foreign().zoneNames()...)
	d.world.kill(all(d.foreign().zones))
	return d.hold(ctx, holdFault)
}

func (d *director) back(ctx context.Context) error {
	d.look(true, func(r *record) bool { return d.entered(r, foreignCluster) && r.ok() })
	if err := d.world.start(ctx, all(d.foreign().zones)); err != nil {
		return err
	}
	if err := d.world.awaitTunnels(ctx, homeCluster, foreignCluster); err != nil {
		return err
	}
	d.view.say("the tunnels are up again")
	d.world.setCallersGone()
	return d.returned(ctx, d.zones(), holdReturn)
}

func (d *director) home() cluster    { return d.world.topo.cluster(homeCluster) }
func (d *director) foreign() cluster { return d.world.topo.cluster(foreignCluster) }

func (d *director) zones() []string {
	return append(d.home().zoneNames(), d.foreign().zoneNames()...)
}

func (d *director) entered(r *record, cluster string) bool {
	return d.world.topo.clusterOf(r.entry) == cluster
}

// crossed: it entered at home and mockb of the other cluster answered.
func (d *director) crossed(r *record) bool {
	return d.entered(r, homeCluster) && r.ok() && d.world.topo.clusterOf(r.mockb()) == foreignCluster
}

func (d *director) crossing() func([]record) bool {
	return lastOf(crossingRun, d.home().zoneNames(), d.crossed)
}

func answeredOutside(r *record, zone string) bool { return r.ok() && r.mockb() != zone }

// look begins the measurement of the phase: from now to the first answer that shows the effect.
func (d *director) look(home bool, effect func(*record) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := &d.phases[len(d.phases)-1]
	p.fault, p.effect, p.home = time.Now(), effect, home
}

// returned waits until the chains of these zones answer from their zones alone.
func (d *director) returned(ctx context.Context, zones []string, hold time.Duration) error {
	bounded, cancel := context.WithTimeout(ctx, returnTimeout)
	defer cancel()
	if err := d.world.awaitLed(bounded, d.world.topo.named(zones)...); ctx.Err() != nil {
		return ctx.Err()
	} else if err != nil {
		d.miss(err.Error())
	}
	// Answers alone do not show that nothing is ramping up any more: what has nine tenths of its share often answers many times in a row.
	if err := d.world.awaitSettled(bounded, zones...); ctx.Err() != nil {
		return ctx.Err()
	} else if err != nil {
		d.miss(err.Error())
	}
	return d.await(ctx, hold, returnTimeout, "every chain answers from its own zone", lastOf(settledRun, zones, (*record).home))
}

// await holds the phase and waits for cond. A condition that does not come is
// remembered and the script goes on: the table shows what happened instead.
func (d *director) await(ctx context.Context, hold, bound time.Duration, what string, cond func([]record) bool) error {
	return d.awaitFor(ctx, d.scaled(hold), bound, what, cond)
}

func (d *director) awaitFor(ctx context.Context, hold, bound time.Duration, what string, cond func([]record) bool) error {
	until := time.Now().Add(hold)
	bounded, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	err := d.rec.await(bounded, cond)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		d.miss(fmt.Sprintf("within %s it did not happen that %s", bound, what))
	case err != nil:
		return err
	}
	return sleep(ctx, time.Until(until))
}

func (d *director) miss(what string) {
	d.mu.Lock()
	what = fmt.Sprintf("phase %q: %s", d.phases[len(d.phases)-1].name, what)
	d.missed = append(d.missed, what)
	d.mu.Unlock()
	d.view.say("MISSED  %s", what)
}

func (d *director) hold(ctx context.Context, t time.Duration) error { return sleep(ctx, d.scaled(t)) }

func (d *director) scaled(t time.Duration) time.Duration {
	return time.Duration(float64(t) * d.pace)
}

// sleep lets the world run on for that long.
func sleep(ctx context.Context, t time.Duration) error {
	if !pace.Sleep(ctx, t) {
		return ctx.Err()
	}
	return nil
}
