package health

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery"
)

// clock is a schedule with its own time.
type clock struct {
	*schedule
	t   *testing.T
	now time.Time
}

func newClock(t *testing.T, random float64) *clock {
	return &clock{newSchedule(func() float64 { return random }), t, time.Unix(0, 0)}
}

func at(i int) place {
	return place{80, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 80)}
}

// first is that many endpoints with a plan.
func first(n int, p *plan) map[place]*plan {
	out := make(map[place]*plan)
	for i := range n {
		out[at(i)] = p
	}
	return out
}

func shop(i int) discovery.ServiceName {
	return discovery.ServiceName{Namespace: "shops", Name: fmt.Sprint(i)}
}

// begun are the checks that begin now.
func (c *clock) begun() (all []check) {
	for {
		one, ok := c.begin(c.now)
		if !ok {
			return all
		}
		all = append(all, one)
	}
}

func (c *clock) one() check {
	c.t.Helper()
	all := c.begun()
	if len(all) != 1 {
		c.t.Fatalf("%d checks are due at %v, want 1", len(all), c.now)
	}
	return all[0]
}

func (c *clock) ends(one check, reason string) bool {
	return c.end(result{check: one, reason: reason}, c.now)
}

// until is the time to the next check.
func (c *clock) until() time.Duration {
	at, ok := c.next()
	if !ok {
		return -1
	}
	return at.Sub(c.now)
}

func everySecond() *plan {
	return &plan{interval: time.Second, timeout: time.Second, unhealthy: 2, healthy: 1}
}

// A new endpoint is checked at once, and then an interval after each check has ended, or up to a tenth earlier.
func TestInterval(t *testing.T) {
	t.Parallel()
	for random, want := range map[float64]time.Duration{0: time.Second, 0.5: 950 * time.Millisecond, 1: 900 * time.Millisecond} {
		c := newClock(t, random)
		c.follow(shop(0), first(1, everySecond()), c.now)
		one := c.one()
		if left := c.until(); left != -1 {
			t.Errorf("another check in %v while one runs", left)
		}
		c.now = c.now.Add(300 * time.Millisecond)
		c.ends(one, "")
		if got := c.until(); got != want {
			t.Errorf("the next check comes after %v, want %v", got, want)
		}
		if len(c.begun()) > 0 {
			t.Error("a check began early")
		}
	}
}

// The state changes by the thresholds; while an endpoint fails, its newest reason counts.
func TestReasons(t *testing.T) {
	t.Parallel()
	c := newClock(t, 0)
	c.follow(shop(0), first(1, everySecond()), c.now)
	c.ends(c.one(), "")
	c.now = c.now.Add(time.Second)
	for i, step := range []struct {
		result, reason string
		changed        bool
	}{
		{"503", "", false}, {"503", "503", true}, {"503", "503", false}, {"refused", "refused", true}, {"", "", true}, {"", "", false},
	} {
		one := c.one()
		if changed := c.ends(one, step.result); changed != step.changed || one.target.reason != step.reason {
			t.Errorf("step %d: changed %t, reason %q, want %t, %q", i, changed, one.target.reason, step.changed, step.reason)
		}
		c.now = c.now.Add(time.Second)
	}
}

// Endpoints that stay keep their state when others come and go, and when the plan changes; then they are checked at once.
func TestFollow(t *testing.T) {
	t.Parallel()
	c := newClock(t, 0)
	p := everySecond()
	p.unhealthy = 1
	c.follow(shop(0), first(1, p), c.now)
	one := c.one()
	c.ends(one, "503")
	same := *p
	if gone := c.follow(shop(0), first(2, &same), c.now); len(gone) > 0 {
		t.Error("an endpoint that stays is gone")
	}
	two := c.one()
	if two.target == one.target { // the new one alone
		t.Error("an endpoint whose plan is equal is checked again")
	}
	c.ends(two, "")
	other := *p
	other.path = "/other"
	c.follow(shop(0), first(1, &other), c.now)
	two = c.one()
	if two.target != one.target || !one.target.state.failing || two.plan.path != "/other" {
		t.Errorf("after a change of the plan: %+v", two)
	}

	// The result of a check that was under way when the plan changed means nothing.
	third := *p
	c.follow(shop(0), first(1, &third), c.now)
	if c.ends(two, "") || !one.target.state.failing || c.until() != 0 {
		t.Error("the result of an old plan counted, or the new one waits")
	}

	// Without endpoints nothing is left, also when a check still runs.
	two = c.one()
	if gone := c.follow(shop(0), nil, c.now); len(gone) != 1 || gone[0] != one.target {
		t.Errorf("gone: %v", gone)
	}
	if c.ends(two, "503") || c.until() != -1 || c.running != 0 || len(c.services) > 0 {
		t.Errorf("something is left: %+v", c.schedule)
	}

	// What comes back begins without a state.
	c.follow(shop(0), first(1, p), c.now)
	if one := c.one(); one.target.state.failing {
		t.Error("an endpoint that came back has a state")
	}
}

// So many checks run at a time, of one service fewer; those that wait come first when there is room, and are forgotten with their endpoints.
func TestBounds(t *testing.T) {
	t.Parallel()
	c := newClock(t, 0)
	const services = maxChecks/maxPerService + 1
	for i := range services {
		c.follow(shop(i), first(maxPerService+2, everySecond()), c.now)
		c.now = c.now.Add(time.Millisecond)
	}
	running := c.begun()
	per := make(map[discovery.ServiceName]int)
	for _, one := range running {
		per[one.target.ref.Service]++
	}
	if len(running) != maxChecks || per[shop(0)] != maxPerService || per[shop(services-1)] != 0 {
		t.Fatalf("%d checks run: %v", len(running), per)
	}
	for _, one := range running {
		c.ends(one, "")
	}
	running = c.begun() // what waited: two of each service, and as many as may of the last
	if len(running) != 2*(services-1)+maxPerService {
		t.Errorf("then %d checks run", len(running))
	}
	for i := range services {
		c.follow(shop(i), nil, c.now)
	}
	for _, one := range running {
		c.ends(one, "")
	}
	if n := len(c.begun()); n > 0 || c.running != 0 {
		t.Errorf("%d checks of what is gone, %d run", n, c.running)
	}
}

// When the checks of a service begin, the first one of each endpoint decides; those of an endpoint that comes later are counted.
func TestFirstResult(t *testing.T) {
	t.Parallel()
	c := newClock(t, 0)
	c.follow(shop(0), first(1, everySecond()), c.now)
	if one := c.one(); !c.ends(one, "503") || one.target.reason != "503" {
		t.Error("an endpoint that was there before its checks is not unhealthy after the first")
	}
	for _, n := range []int{2, 0, 2} { // also when there were none for a while
		c.follow(shop(0), first(n, everySecond()), c.now)
		for _, one := range c.begun() {
			if c.ends(one, "503") {
				t.Error("an endpoint that came later is unhealthy after its first check")
			}
		}
	}
}

// What means nothing for an endpoint does not count: this process was short of something, or was stopped.
func TestMoot(t *testing.T) {
	t.Parallel()
	c := newClock(t, 0)
	p := everySecond()
	p.unhealthy = 1
	c.follow(shop(0), first(1, p), c.now)
	one := c.one()
	if c.end(result{check: one, reason: "too many open files", inconclusive: true}, c.now) {
		t.Error("an inconclusive check counted")
	}
	c.now = c.now.Add(time.Second)
	one = c.one()
	c.now = c.now.Add(p.timeout + lateness + 1)
	if c.ends(one, "no answer within 1s") {
		t.Error("a check that ended late counted")
	}
	c.now = c.now.Add(time.Second)
	one = c.one()
	c.now = c.now.Add(p.timeout + lateness)
	if !c.ends(one, "no answer within 1s") {
		t.Error("a check that ended in time did not count")
	}
}
