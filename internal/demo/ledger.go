package demo

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// silenceGrace is how long after a proxy went silent calls may still be sent to it. A peer is suspect
// after about 1 s without an inbound byte; callers are led elsewhere after two probes without an answer.
const silenceGrace = 1500 * time.Millisecond

// silenceGraceMost is the same on a machine so busy that processes wait for their turn: a round trip of half a second is
// not suspect before 2 s. How long it took is what the proxies and the agent show.
const silenceGraceMost = 2 * silenceGrace

// killedGrace is how long after a proxy was killed callers may still be led to it: until the next probe
// is refused. killedGraceMost is the same on a busy machine.
const (
	killedGrace     = 300 * time.Millisecond
	killedGraceMost = time.Second
)

// Ways in which a process is out.
const (
	outKilled  = "killed"
	outStopped = "stopped"
	outBroken  = "not listening"
)

// outage is the time during which one process was killed, stopped, or did not listen.
type outage struct {
	process string
	zone    string
	cluster string
	role    string
	kind    string // outKilled, outStopped or outBroken
	from    time.Time
	to      time.Time // zero: still out
	// noticed is when no calls were sent to the process any more; zero: within the grace.
	noticed time.Time
}

// grace is until when calls may still be sent to a process that was killed or stopped.
func (o *outage) grace() time.Time {
	usual, most := o.from.Add(killedGrace), o.from.Add(killedGraceMost)
	if o.kind == outStopped {
		usual, most = o.from.Add(silenceGrace), o.from.Add(silenceGraceMost)
	}
	switch {
	case o.noticed.After(most):
		return most
	case o.noticed.After(usual):
		return o.noticed
	default:
		return usual
	}
}

// during reports whether the process was out at some moment of the request.
func (o *outage) during(r *record) bool {
	return r.end.After(o.from) && (o.to.IsZero() || r.start.Before(o.to))
}

// ledger keeps what was done to which process, and which failures could not be
// avoided.
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

// noticed records when no calls were sent to these processes any more. It returns how long that took.
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

// held reports whether the request was on its way through a proxy of its own cluster that was stopped:
// it is answered when that goes on.
func (l *ledger) held(r *record, homeOf string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.outages, func(o outage) bool { return o.holds(r, homeOf) })
}

func (o *outage) holds(r *record, homeOf string) bool {
	return o.kind == outStopped && isProxy(o.role) && o.cluster == homeOf && o.during(r) && !r.start.After(o.grace())
}

// listening reports whether an application could be called at that time.
func (l *ledger) listening(zone, role string, at time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !slices.ContainsFunc(l.outages, func(o outage) bool {
		return o.zone == zone && o.role == role && o.kind != outStopped && !at.Before(o.from) && (o.to.IsZero() || at.Before(o.to))
	})
}

// excuse is why a failed request had to fail, "" if it had not. homeOf is the cluster in which it entered,
// executedBy the processes that began to execute it, via the proxy on which it failed, "" when none did.
func (l *ledger) excuse(r *record, homeOf string, executedBy []string, via string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.outages {
		o := &l.outages[i]
		switch {
		case !o.during(r):
		case o.kind == outKilled && !r.start.After(o.from) && slices.Contains(executedBy, o.process):
			return fmt.Sprintf("was being executed by %s when that was killed", o.process)
		case o.kind == outKilled && o.process == via && !r.start.After(o.grace()):
			return fmt.Sprintf("was on its way through %s when that was killed", o.process)
		case o.holds(r, homeOf):
			return fmt.Sprintf("was on its way through a proxy of %s when those were stopped", o.cluster)
		case o.kind == outStopped && isProxy(o.role) && o.cluster != homeOf && r.crossing && !r.start.After(o.grace()):
			return fmt.Sprintf("was on its way to %s when its proxies went silent", o.cluster)
		}
	}
	return ""
}
