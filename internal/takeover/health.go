package takeover

import (
	"net/netip"
	"time"
)

// State is what probes show of a proxy.
type State int

const (
	// Dead proxies refuse, are unreachable, or have not answered for suspectLife.
	Dead State = iota
	// Suspect proxies have let probes time out. That is weak evidence: a proxy, or the whole node, that is short of CPU does
	// too. Calls go to other proxies, but where there are none they still go to suspects.
	Suspect
	// Alive proxies answer.
	Alive
)

// Health is what the last probes showed of a proxy.
type Health struct {
	State  State
	Report Report // of the last probe that succeeded
}

// Ranks of proxies: a worse one is used only where there is none better.
const (
	readyRank    = iota
	notReadyRank // starting or draining
	suspectRank
)

// rank is that of a proxy that is not dead.
func (h *Health) rank() int {
	switch {
	case h.State == Suspect:
		return suspectRank
	case h.Report.Ready:
		return readyRank
	default:
		return notReadyRank
	}
}

// vitals judges one proxy by its probes. It keeps no clock.
type vitals struct {
	Health

	probed   bool      // at least once
	good     int       // successes in a row
	silent   time.Time // start of the first of the timeouts in a row; zero: the last probe did not time out
	timeouts int       // in a row
	pauses   int       // probes in a row that the agent's own pauses spoiled
}

// outcome is one probe.
type outcome struct {
	result       string  // one of the results of the metric
	report       *Report // nil unless it succeeded
	began, ended time.Time
}

// observe takes the outcome of a probe. It returns false if the outcome shows nothing, and the probe has to be repeated at once.
func (v *vitals) observe(o *outcome) bool {
	if o.result == resultPaused && v.pauses < maxPauses {
		v.pauses++
		return false
	}
	v.pauses = 0
	switch o.result {
	case resultOK:
		v.good++
		v.silent, v.timeouts = time.Time{}, 0
		switch {
		case !v.probed || v.State == Alive || v.good >= risingProbes:
			v.Health = Health{State: Alive, Report: *o.report}
		case v.State == Suspect:
			v.Report = *o.report // it gets calls
		}
	case resultTimeout, resultPaused:
		v.good = 0
		v.timeouts++
		if v.silent.IsZero() {
			v.silent = o.began
		}
		if !v.probed || v.State == Alive {
			v.State = Suspect
		}
		if v.timeouts >= suspectTimeouts && o.ended.Sub(v.silent) >= suspectLife {
			v.State = Dead
		}
	default:
		v.good, v.silent, v.timeouts, v.State = 0, time.Time{}, 0, Dead
	}
	v.probed = true
	return true
}

// change is what a probe's outcome means for the plan.
type change int

const (
	unchanged change = iota
	// gradual: the proxy listens for more or fewer services. Calls go to the right place meanwhile.
	gradual
	// urgent: calls have to go elsewhere than they may go now.
	urgent
)

// changeOf compares a proxy's health before and after a probe.
func changeOf(before, after *Health) change {
	switch {
	case before.State != after.State:
		return urgent
	case after.Report.equal(&before.Report):
		return unchanged
	case after.Report.Ready != before.Report.Ready || after.Report.misleads(&before.Report):
		return urgent
	default:
		return gradual
	}
}

// conclusive is false while too little is known for a first plan: a proxy has not been probed, or none has answered but one is
// suspect. What a predecessor has written stays until then.
func conclusive(health map[netip.Addr]Health, proxies int) bool {
	usable, suspect := false, false
	for _, h := range health {
		usable = usable || h.State == Alive || h.State == Suspect && h.Report.Listeners != nil
		suspect = suspect || h.State == Suspect
	}
	return len(health) >= proxies && (usable || !suspect)
}
