package takeover

import (
	"net/netip"
	"time"
)

// State is what probes show of a proxy.
type State int

const (
	// Dead proxies refuse or are unreachable.
	Dead State = iota
	// Silent proxies have let all probes of suspectLife time out. They get only the calls that nothing else could answer: those
	// to Services with no endpoint of their own cluster, which kube-proxy refuses.
	Silent
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
	silentRank
)

// rank is that of a proxy that is not dead.
func (h *Health) rank() int {
	switch {
	case h.State == Silent:
		return silentRank
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
		v.answered(o.report)
	case resultTimeout:
		v.timedOut(o)
	case resultPaused:
		// The agent is short of CPU all the time: that says nothing of the proxy, but one that answers is better.
		v.doubt()
	default:
		v.good, v.silent, v.timeouts, v.State = 0, time.Time{}, 0, Dead
	}
	v.probed = true
	return true
}

func (v *vitals) answered(r *Report) {
	v.good++
	v.silent, v.timeouts = time.Time{}, 0
	switch {
	case !v.probed || v.State == Alive || v.good >= risingProbes:
		v.Health = Health{State: Alive, Report: *r}
	case v.State != Dead:
		v.Report = *r // it gets calls
	}
}

func (v *vitals) timedOut(o *outcome) {
	v.doubt()
	v.timeouts++
	if v.silent.IsZero() {
		v.silent = o.began
	}
	if v.State == Suspect && v.timeouts >= suspectTimeouts && o.ended.Sub(v.silent) >= suspectLife {
		v.State = Silent
	}
}

// doubt: there was no answer.
func (v *vitals) doubt() {
	v.good = 0
	if !v.probed || v.State == Alive {
		v.State = Suspect
	}
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
		usable = usable || h.State == Alive || h.State != Dead && h.Report.Listeners != nil
		suspect = suspect || h.State == Suspect
	}
	return len(health) >= proxies && (usable || !suspect)
}
