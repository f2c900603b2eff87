package demo

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// silenceGrace is how long after a peer went silent a call may still be sent into it,
// until it is suspect: after about 1 s without an inbound byte.
const silenceGrace = 1500 * time.Millisecond

// silenceGraceMost is the same on a machine so busy that processes wait for their turn: a round trip of half a second is
// not suspect before 2 s. How long it took is asked of the proxies then.
const silenceGraceMost = 2 * silenceGrace

// Ways in which a process is out.
const (
	outKilled  = "killed"
	outStopped = "stopped"
)

// outage is the time during which one process was killed or stopped.
type outage struct {
	process string
	zone    string
	cluster string
	role    string
	kind    string // outKilled or outStopped
	from    time.Time
	to      time.Time // zero: still out
	// noticed is when everybody had noticed that a stopped process is silent; zero: within silenceGrace.
	noticed time.Time
}

// grace is until when calls may still be sent into a process that was stopped.
func (o *outage) grace() time.Time {
	usual, most := o.from.Add(silenceGrace), o.from.Add(silenceGraceMost)
	switch {
	case o.noticed.After(most):
		return most
	case o.noticed.After(usual):
		return o.noticed
	default:
		return usual
	}
}

// during tells whether the process was out at some moment of the request.
func (o *outage) during(r *record) bool {
	return r.end.After(o.from) && (o.to.IsZero() || r.start.Before(o.to))
}

// ledger keeps what was done to which process, and says of a failure whether it
// had to be.
type ledger struct {
	mu      sync.Mutex
	outages []outage
}

// out begins an outage; from is a moment before the signal was sent.
func (l *ledger) out(o outage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outages = append(l.outages, o)
}

// noticed tells of stopped processes when their silence was noticed everywhere. It returns how long that took.
func (l *ledger) noticed(at time.Time, processes ...string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var longest time.Duration
	for i := range l.outages {
		if o := &l.outages[i]; o.to.IsZero() && slices.Contains(processes, o.process) {
			o.noticed = at
			longest = max(longest, at.Sub(o.from))
		}
	}
	return longest
}

// back ends the outages of these processes; at is a moment after they were found ready.
func (l *ledger) back(at time.Time, processes ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.outages {
		if l.outages[i].to.IsZero() && slices.Contains(processes, l.outages[i].process) {
			l.outages[i].to = at
		}
	}
}

// atEntry says why the request could not work from where it entered, "" if it could:
// it entered at a mocka that was out, or its own zone's proxy was.
func (l *ledger) atEntry(r *record) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.outages {
		o := &l.outages[i]
		if o.zone == r.entry && (o.role == roleMocka || o.role == roleProxy) && o.during(r) {
			return fmt.Sprintf("entered at %s while its %s was %s", o.zone, o.role, o.kind)
		}
	}
	return ""
}

// excuse says why a failed request had to fail, "" if it had not. homeOf is the
// cluster in which it entered, executedBy the processes that began to execute it.
func (l *ledger) excuse(r *record, homeOf string, executedBy []string) string {
	if why := l.atEntry(r); why != "" {
		return why
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.outages {
		o := &l.outages[i]
		if o.kind == outKilled && o.during(r) && !r.start.After(o.from) && slices.Contains(executedBy, o.process) {
			return fmt.Sprintf("was being executed by %s when that was killed", o.process)
		}
		if o.kind == outStopped && o.role == roleProxy && o.cluster != homeOf && r.crossing &&
			o.during(r) && !r.start.After(o.grace()) {
			return fmt.Sprintf("was under way to %s when its proxies went silent", o.cluster)
		}
	}
	return ""
}
