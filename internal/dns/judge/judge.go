package judge

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Verdict is what the data plane says of an entry.
type Verdict int

const (
	// Unknown: there is no proxy to say it, or its peer is out of reach. Probes decide.
	Unknown Verdict = iota
	// CanServe: endpoints are ready there.
	CanServe
	// CannotServe: the cluster itself reported that nothing is ready.
	CannotServe
)

// String is as `eastway dns explain -o json` prints it.
func (v Verdict) String() string {
	switch v {
	case CanServe:
		return "CAN_SERVE"
	case CannotServe:
		return "CANNOT_SERVE"
	default:
		return "UNKNOWN"
	}
}

// Evidence is a report of the data plane.
type Evidence struct {
	Verdict Verdict
	Reason  string
}

// Thresholds are how many results in a row change the state of an address.
type Thresholds struct{ Unhealthy, Healthy int }

// Address is one address as judged.
type Address struct {
	Addr netip.Addr
	// In: it is part of answers.
	In bool
	// MayLive: it is answered when nothing is in. Not so only if both the probe and the data plane say that it cannot serve.
	MayLive bool
	// Passing is the last result of the probe; it may be out all the same.
	Passing bool
	// Judged: there was a result.
	Judged bool
	// Tried: it is judged, or cannot be probed from here.
	Tried bool
	// Verdict is what the data plane says of the entry.
	Verdict Verdict
	// Since is when it came in or went out.
	Since time.Time
	// LastGood is when it was last in; zero: never.
	LastGood time.Time
	// Reason is why it is in or out.
	Reason string
}

// Entry judges the addresses of one entry.
type Entry struct {
	limits  Thresholds
	members map[netip.Addr]*member
	order   []netip.Addr

	past    map[netip.Addr]*member // of addresses that are gone
	version uint64
	verdict Verdict // of the last update

	truth    state // up: it can serve
	evidence Evidence
	heard    time.Time // the last report that was not Unknown
}

// Version changes with what Addresses returns, times and reasons of probes apart.
func (e *Entry) Version() uint64 { return e.version }

// member is what is known of an address.
type member struct {
	probe    state
	passing  bool
	reason   string // of the last result
	tried    bool   // there was a result, or it cannot be probed from here
	added    time.Time
	gone     bool // from the entry, but still answered until what replaces it is judged
	in       bool
	since    time.Time
	lastGood time.Time
}

// NewEntry judges with these thresholds; those below 1 are 1.
func NewEntry(t Thresholds) *Entry {
	limits := Thresholds{max(t.Unhealthy, 1), max(t.Healthy, 1)}
	return &Entry{limits: limits, members: make(map[netip.Addr]*member), past: make(map[netip.Addr]*member)}
}

// SetThresholds replaces those of NewEntry.
func (e *Entry) SetThresholds(t Thresholds) {
	e.limits = Thresholds{max(t.Unhealthy, 1), max(t.Healthy, 1)}
}

// SetAddresses replaces the addresses. Those that stay keep their state; those that go stay until the new ones are judged, and for good while
// there are no new ones.
func (e *Entry) SetAddresses(now time.Time, addrs []netip.Addr) {
	e.version++
	for addr, m := range e.members {
		if gone := !slices.Contains(addrs, addr); gone && !m.gone {
			m.gone, m.added = true, now
		} else if !gone {
			m.gone = false
		}
	}
	fresh := false
	for _, addr := range addrs {
		if e.members[addr] == nil {
			e.members[addr] = e.join(now, addr)
			fresh = true
		}
	}
	if fresh { // these have as long as if the others went only now
		for _, m := range e.members {
			if m.gone {
				m.added = now
			}
		}
	}
	e.order = slices.Clone(addrs)
	e.update(now)
	for gone := e.gone(); len(gone) > maxGone; gone = gone[1:] {
		e.leave(now, gone[0])
	}
}

// gone are the members that are gone, those that were good last at the end.
func (e *Entry) gone() (out []netip.Addr) {
	for addr, m := range e.members {
		if m.gone {
			out = append(out, addr)
		}
	}
	slices.SortFunc(out, func(a, b netip.Addr) int {
		return cmp.Or(e.members[a].lastGood.Compare(e.members[b].lastGood), a.Compare(b))
	})
	return out
}

// join makes a member; one that comes back has its past.
func (e *Entry) join(now time.Time, addr netip.Addr) *member {
	m := &member{added: now, since: now}
	if was := e.past[addr]; was != nil {
		delete(e.past, addr)
		if now.Sub(was.added) < calm {
			m.probe, m.lastGood = was.probe, was.lastGood
		}
	}
	return m
}

// leave ends a member.
func (e *Entry) leave(now time.Time, addr netip.Addr) {
	m := e.members[addr]
	delete(e.members, addr)
	e.version++
	if !m.probe.judged && !m.probe.forgotten {
		return
	}
	m.probe.forget()
	m.added = now
	e.past[addr] = m
	var oldest netip.Addr
	for addr, m := range e.past {
		if was := e.past[oldest]; was == nil || m.added.Before(was.added) {
			oldest = addr
		}
	}
	if len(e.past) > maxPast {
		delete(e.past, oldest)
	}
}

// Probe takes the result of a probe of an address; reason is why it failed. An address that the entry does not have is ignored.
func (e *Entry) Probe(now time.Time, addr netip.Addr, ok bool, reason string) {
	m := e.members[addr]
	if m == nil {
		return
	}
	if m.passing != ok || !m.probe.judged {
		e.version++
	}
	m.passing, m.reason, m.tried = ok, reason, true
	m.probe.feed(now, ok, e.limits.Unhealthy, e.limits.Healthy)
	e.update(now)
}

// Unprobed says that an address cannot be probed from here, for such as want of a route: it stays as it is.
func (e *Entry) Unprobed(now time.Time, addr netip.Addr, reason string) {
	m := e.members[addr]
	if m == nil {
		return
	}
	if !m.tried {
		e.version++
	}
	m.tried = true
	if !m.probe.judged {
		m.reason = reason
	}
	e.update(now)
}

// DataPlane takes a report. Reports come at a steady pace: a verdict changes when it is repeated.
func (e *Entry) DataPlane(now time.Time, report Evidence) {
	if report.Verdict != Unknown {
		e.heard = now
		e.truth.feed(now, report.Verdict == CanServe, evidenceRepeats, evidenceRepeats)
		e.evidence = report
	} else if !e.truth.judged {
		e.evidence = report
	}
	e.Tick(now)
}

// Tick has time pass: what was reported last does not count for ever, though for longer each time that a cluster which cannot serve falls
// silent. Addresses that are gone are dropped.
func (e *Entry) Tick(now time.Time) {
	if e.truth.judged && now.Sub(e.heard) >= silenceHold && e.truth.held(now) == 0 {
		if !e.truth.up { // it counts as what it was not, so that a second loss is one
			e.truth.up, e.truth.since = true, now
		}
		e.truth.forget()
		e.evidence = Evidence{Reason: fmt.Sprintf("the data plane has said nothing of it for %v", silenceHold)}
	}
	e.update(now)
}

// ForgetDataPlane is for an entry whose services are others now.
func (e *Entry) ForgetDataPlane(now time.Time) {
	e.truth, e.evidence = state{}, Evidence{}
	e.update(now)
}

// cannot is true while the data plane says that the entry cannot serve.
func (e *Entry) cannot() bool { return e.truth.judged && !e.truth.up }

// Verdict is what counts now, which may be an earlier report than the last one.
func (e *Entry) Verdict() Evidence {
	v := e.evidence
	switch {
	case e.cannot():
		v.Verdict = CannotServe
	case e.truth.judged:
		v.Verdict = CanServe
	default:
		v.Verdict = Unknown
	}
	return v
}

// update decides who is in.
func (e *Entry) update(now time.Time) {
	e.drop(now)
	if v := e.Verdict().Verdict; v != e.verdict {
		e.verdict = v
		e.version++
	}
	for _, m := range e.members {
		if m.in {
			m.lastGood = now
		}
		if in := m.probe.judged && m.probe.up && !e.cannot(); in != m.in {
			m.in, m.since = in, now
			e.version++
		}
		if m.in {
			m.lastGood = now
		}
	}
}

// drop forgets addresses that are gone, as soon as all that stay are judged. If none stays, the old ones do.
func (e *Entry) drop(now time.Time) {
	done, stay := true, false
	for _, m := range e.members {
		done = done && (m.gone || m.tried)
		stay = stay || !m.gone
	}
	if !stay {
		return
	}
	for addr, m := range e.members {
		if m.gone && (done || now.Sub(m.added) >= replaceTime) {
			e.leave(now, addr)
		}
	}
}

// Addresses are all addresses in the entry's order.
func (e *Entry) Addresses(now time.Time) []Address {
	out := make([]Address, 0, len(e.members))
	for _, addr := range e.order {
		if m := e.members[addr]; m != nil {
			out = append(out, e.address(now, addr, m))
		}
	}
	first := len(out)
	for addr, m := range e.members {
		if m.gone {
			out = append(out, e.address(now, addr, m))
		}
	}
	slices.SortFunc(out[first:], func(a, b Address) int { return a.Addr.Compare(b.Addr) })
	return out
}

func (e *Entry) address(now time.Time, addr netip.Addr, m *member) Address {
	return Address{
		Addr: addr, In: m.in, Passing: m.passing, Judged: m.probe.judged, MayLive: m.passing || !e.cannot(),
		Tried: m.tried, Verdict: e.Verdict().Verdict,
		Since: m.since, LastGood: m.lastGood, Reason: e.reason(now, m),
	}
}

func (e *Entry) reason(now time.Time, m *member) string {
	switch {
	case !m.probe.judged:
		return cmp.Or(m.reason, "not probed yet")
	case m.in && m.gone:
		return "the name of the entry does not have it any more: it stays until the new addresses are probed"
	case m.in && !m.passing:
		return fmt.Sprintf("the probe failed, %d of %d times: %s", m.probe.streak, e.limits.Unhealthy, m.reason)
	case m.in && e.truth.judged:
		return "the probe passes, and the data plane says that it can serve"
	case m.in:
		return "the probe passes"
	case !m.passing:
		return "the probe fails: " + m.reason
	case e.cannot():
		return "the data plane says that it cannot serve: " + e.evidence.Reason
	case m.probe.held(now) > 0:
		return fmt.Sprintf("the probe passes; it went out %d times, so it is held out for another %v",
			m.probe.downs, m.probe.held(now).Round(time.Second))
	default:
		return fmt.Sprintf("the probe passed %d of %d times", m.probe.streak, e.limits.Healthy)
	}
}
