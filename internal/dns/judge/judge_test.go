package judge

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// event is something that an entry is fed with, at a time in seconds.
type event struct {
	at       float64
	addr     string // a probe of it; "": a report of the data plane
	ok       bool
	evidence Verdict
	set      []string // new addresses instead
	unprobed bool     // the address cannot be probed from here
}

func pass(at float64, addr string) event { return event{at: at, addr: addr, ok: true} }
func fail(at float64, addr string) event { return event{at: at, addr: addr} }

func unprobed(at float64, addr string) event { return event{at: at, addr: addr, unprobed: true} }

func report(at float64, v Verdict) event { return event{at: at, evidence: v} }

func set(at float64, addrs ...string) event { return event{at: at, set: addrs} }

const a, b = "192.0.2.1", "192.0.2.2"

func TestEntry(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		events []event
		in     []string
		reason string // of a
	}{
		{"nothing known", []event{set(0, a)}, nil, "not probed yet"},
		{"the first probe decides", []event{set(0, a), pass(1, a)}, []string{a}, "the probe passes"},
		{"one failure is none", []event{set(0, a), pass(1, a), fail(2, a)}, []string{a}, "the probe failed, 1 of 2 times: timeout"},
		{"two are", []event{set(0, a), pass(1, a), fail(2, a), fail(3, a)}, nil, "the probe fails: timeout"},
		{"failures that are not in a row", []event{set(0, a), pass(1, a), fail(2, a), pass(3, a), fail(4, a)}, []string{a}, "1 of 2"},
		{"back after two passes", []event{set(0, a), fail(1, a), pass(2, a), pass(3, a)}, []string{a}, "the probe passes"},
		{"not after one", []event{set(0, a), fail(1, a), pass(2, a)}, nil, "the probe passed 1 of 2 times"},
		{
			"services gone, entry alive",
			[]event{set(0, a), pass(1, a), report(1, CanServe), report(2, CannotServe), report(3, CannotServe)},
			nil,
			"the data plane says that it cannot serve: none ready",
		},
		{
			"nothing ready for a moment",
			[]event{set(0, a), pass(1, a), report(1, CanServe), report(2, CannotServe), report(3, CanServe)},
			[]string{a},
			"the data plane says that it can serve",
		},
		{"one report is none", []event{set(0, a), pass(1, a), report(1, CanServe), report(2, CannotServe)}, []string{a}, "the probe passes"},
		{"services gone from the start", []event{set(0, a), pass(1, a), report(1, CannotServe)}, nil, "cannot serve"},
		{"the probe fails, the tunnel is fine", []event{set(0, a), report(1, CanServe), fail(1, a)}, nil, "the probe fails"},
		{
			"peer out of reach, probe passes: split brain",
			[]event{set(0, a), pass(1, a), report(1, CanServe), report(2, Unknown), report(60, Unknown)},
			[]string{a},
			"the probe passes",
		},
		{
			"the last report counts while the tunnel comes and goes",
			[]event{set(0, a), pass(1, a), report(1, CannotServe), report(20, Unknown)},
			nil, "cannot serve",
		},
		{"but not forever", []event{set(0, a), pass(1, a), report(1, CannotServe), report(31, Unknown)}, []string{a}, "the probe passes"},
		{"another address", []event{set(0, a), pass(1, a), set(2, b), pass(3, b)}, []string{b}, ""},
		{"the old one stays until the new one is probed", []event{set(0, a), pass(1, a), set(2, b)}, []string{a}, "stays until"},
		{"but not for long", []event{set(0, a), pass(1, a), set(2, b), report(12, Unknown)}, nil, ""},
		{"the old one is named again", []event{set(0, a), pass(1, a), set(2, b), set(3, a, b), pass(4, b)}, []string{a, b}, "the probe passes"},
		{"no new address is known", []event{set(0, a), pass(1, a), {at: 2, set: []string{}}, report(60, Unknown)}, []string{a}, "stays until"},
		{
			"and its probe fails",
			[]event{set(0, a), pass(1, a), {at: 2, set: []string{}}, fail(3, a), fail(4, a)},
			nil, "the probe fails",
		},
		{
			"a new one is known later",
			[]event{set(0, a), pass(1, a), {at: 2, set: []string{}}, set(100, b), report(105, Unknown)},
			[]string{a},
			"stays until",
		},
		{"and is probed", []event{set(0, a), pass(1, a), {at: 2, set: []string{}}, set(100, b), pass(101, b)}, []string{b}, ""},
		{"it cannot be probed from here", []event{set(0, a), unprobed(1, a)}, nil, "no route"},
		{"nor any more", []event{set(0, a), pass(1, a), unprobed(2, a), unprobed(3, a), unprobed(4, a)}, []string{a}, "the probe passes"},
		{"nor what replaces it", []event{set(0, a), pass(1, a), set(2, b), unprobed(3, b)}, nil, ""},
		{
			"one report after a silence",
			[]event{set(0, a), pass(1, a), report(1, CanServe), report(40, Unknown), report(41, CannotServe)},
			[]string{a},
			"the probe passes",
		},
		{
			"two",
			[]event{set(0, a), pass(1, a), report(1, CanServe), report(40, Unknown), report(41, CannotServe), report(42, CannotServe)},
			nil, "cannot serve",
		},
		{"a result of an address that is gone", []event{set(0, a), pass(1, b)}, nil, "not probed yet"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := NewEntry(Thresholds{Unhealthy: 2, Healthy: 2})
			now := feed(e, tt.events)
			in, reason := shown(e, now)
			if !slices.Equal(in, tt.in) || !strings.Contains(reason, tt.reason) {
				t.Errorf("in are %v, want %v; %q, want %q", in, tt.in, reason, tt.reason)
			}
		})
	}
}

func feed(e *Entry, events []event) (now time.Time) {
	for _, ev := range events {
		now = time.Unix(1000, 0).Add(time.Duration(ev.at * float64(time.Second)))
		switch {
		case ev.set != nil:
			var addrs []netip.Addr
			for _, text := range ev.set {
				addrs = append(addrs, netip.MustParseAddr(text))
			}
			e.SetAddresses(now, addrs)
		case ev.unprobed:
			e.Unprobed(now, netip.MustParseAddr(ev.addr), "no route")
		case ev.addr != "":
			e.Probe(now, netip.MustParseAddr(ev.addr), ev.ok, "timeout")
		default:
			e.DataPlane(now, Evidence{Verdict: ev.evidence, Reason: "none ready"})
		}
	}
	return now
}

// shown are the addresses that are in, and the reason of a.
func shown(e *Entry, now time.Time) (in []string, reason string) {
	for _, at := range e.Addresses(now) {
		if at.In {
			in = append(in, at.Addr.String())
		}
		if at.Addr.String() == a {
			reason = at.Reason
		}
	}
	return in, reason
}

// An address that comes and goes every few seconds is out longer each time, but returns at last.
func TestEntryDampsFlapping(t *testing.T) {
	t.Parallel()
	e := NewEntry(Thresholds{Unhealthy: 2, Healthy: 2})
	feed(e, []event{set(0, a)})
	changes, was := 0, false
	for i := range 600 { // 10 minutes: 6 s good, 6 s bad
		in, _ := shown(e, feed(e, []event{{at: float64(i), addr: a, ok: i%12 < 6}}))
		if got := len(in) > 0; got != was {
			was = got
			changes++
		}
	}
	if changes < 6 || changes > 16 { // undamped: 100
		t.Errorf("%d changes", changes)
	}
	var back int
	for i := 600; i < 1200 && back == 0; i++ {
		if in, _ := shown(e, feed(e, []event{pass(float64(i), a)})); len(in) > 0 {
			back = i - 600
		}
	}
	if back == 0 || back > 301 {
		t.Errorf("back after %d s of good results, want at most 5 minutes", back)
	}
	feed(e, []event{pass(2500, a), fail(2501, a), fail(2502, a), pass(2503, a)})
	if in, _ := shown(e, feed(e, []event{pass(2504, a)})); len(in) == 0 {
		t.Error("after 10 calm minutes it is held as before")
	}
}

func TestMayLive(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		events  []event
		mayLive bool
	}{
		{"unknown", []event{set(0, a)}, true},
		{"the probe fails", []event{set(0, a), fail(1, a)}, true},
		{"the probe fails, the tunnel is fine", []event{set(0, a), fail(1, a), report(1, CanServe)}, true},
		{"the data plane alone says no", []event{set(0, a), pass(1, a), report(1, CannotServe)}, true},
		{"both say no", []event{set(0, a), fail(1, a), report(1, CannotServe)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := NewEntry(Thresholds{Unhealthy: 1, Healthy: 1})
			if got := e.Addresses(feed(e, tt.events))[0].MayLive; got != tt.mayLive {
				t.Errorf("may live: %t", got)
			}
		})
	}
}

func TestLastGoodAndSince(t *testing.T) {
	t.Parallel()
	e := NewEntry(Thresholds{Unhealthy: 1, Healthy: 1})
	now := feed(e, []event{set(0, a), pass(1, a), pass(5, a), fail(7, a), fail(9, a)})
	got := e.Addresses(now)[0]
	if got.LastGood.Unix() != 1007 || got.Since.Unix() != 1007 {
		t.Errorf("last good at %d, out since %d, want 1007", got.LastGood.Unix(), got.Since.Unix())
	}
	if v := e.Verdict(); v.Verdict != Unknown || v.Verdict.String() != "UNKNOWN" {
		t.Errorf("verdict %v", v)
	}
}

// A peer without services whose tunnel comes and goes is in less and less, while it is silent, but not out for good.
func TestEntryDampsSilence(t *testing.T) {
	t.Parallel()
	e := NewEntry(Thresholds{Unhealthy: 2, Healthy: 2})
	feed(e, []event{set(0, a), pass(1, a), report(1, CanServe)})
	changes, was := 0, true
	for i := 2; i < 1800; i++ { // half an hour: 40 s silent, 3 s not
		said := Unknown
		if i%43 < 3 {
			said = CannotServe
		}
		in, _ := shown(e, feed(e, []event{pass(float64(i), a), report(float64(i), said)}))
		if got := len(in) > 0; got != was {
			was = got
			changes++
		}
	}
	if changes < 6 || changes > 26 { // undamped: 84
		t.Errorf("%d changes", changes)
	}
	if in, _ := shown(e, feed(e, []event{pass(2200, a), report(2200, Unknown)})); len(in) != 1 {
		t.Error("it is out for good")
	}
}

// What was reported last ends without another report.
func TestTickEndsWhatWasReported(t *testing.T) {
	t.Parallel()
	e := NewEntry(Thresholds{Unhealthy: 2, Healthy: 2})
	now := feed(e, []event{set(0, a), pass(1, a), report(1, CannotServe)})
	before := e.Version()
	e.Tick(now.Add(29 * time.Second))
	if in, _ := shown(e, now); len(in) != 0 || e.Version() != before {
		t.Error("it ends too early")
	}
	e.Tick(now.Add(30 * time.Second))
	if in, _ := shown(e, now); len(in) != 1 || e.Version() == before || e.Verdict().Verdict != Unknown {
		t.Errorf("%v, %v", in, e.Verdict())
	}
	now = feed(e, []event{report(40, CannotServe), report(41, CannotServe)})
	e.ForgetDataPlane(now)
	if in, _ := shown(e, now); len(in) != 1 {
		t.Error("what was said of other services counts")
	}
}

// An address that a name loses and gets again has its past: it is held out no less for it.
func TestAddressesThatComeBack(t *testing.T) {
	t.Parallel()
	e := NewEntry(Thresholds{Unhealthy: 1, Healthy: 1})
	feed(e, []event{set(0, a)})
	changes, was, sec := 0, false, 0.0
	for range 60 { // it serves for 5 s, fails for a second, and is gone for 6 s
		events := []event{set(sec, a), pass(sec+1, a), pass(sec+5, a), fail(sec+6, a), set(sec+7, b), pass(sec+8, b)}
		for i := range events {
			in, _ := shown(e, feed(e, events[i:i+1]))
			if got := slices.Contains(in, a); got != was {
				was = got
				changes++
			}
		}
		sec += 12
	}
	if changes < 6 || changes > 20 { // undamped: 120
		t.Errorf("%d changes", changes)
	}
	for i := range 1000 {
		addr := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String()
		feed(e, []event{set(sec, addr), pass(sec, addr)})
	}
	if len(e.past) != maxPast || len(e.members) > maxGone+1 {
		t.Errorf("the past of %d is kept, %d are members", len(e.past), len(e.members))
	}
	for i := range 1000 {
		feed(e, []event{set(sec, netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).String())})
	}
	if len(e.members) > maxGone+1 {
		t.Errorf("%d members", len(e.members))
	}
}
