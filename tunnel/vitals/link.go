package vitals

import (
	"fmt"
	"time"

	"github.com/eastway/eastway/internal/status"
)

// State is how a link is judged.
type State int

// The states.
const (
	Alive   State = iota
	Suspect       // silent: no new streams
	Dead          // silent for too long: everything on it is given up
)

// String is the state's name in status, logs and metrics.
func (s State) String() string {
	return [...]string{status.Connected, status.Suspect, "dead"}[s]
}

// Link judges one. New makes it.
type Link struct {
	state     State
	heardAt   time.Time // when anything of the peer's process was last heard on any connection
	doubtAt   time.Time // when a connection ended unexpectedly
	collapsed bool      // and it was the last one of its transport
	provenAt  time.Time // when the newest ping that was answered had been sent
	noCtlAt   time.Time // when the control connection was lost; zero while there is one
	lastTick  time.Time
	rtt       time.Duration // as last known
}

// New begins to judge a link.
func New(now time.Time) Link { return Link{heardAt: now, lastTick: now} }

// State as last observed.
func (v *Link) State() State { return v.state }

// Silence is how long nothing was heard.
func (v *Link) Silence(now time.Time) time.Duration { return now.Sub(v.heardAt) }

// Doubt notes that a connection ended unexpectedly; collapsed: it was the last one of its transport.
func (v *Link) Doubt(now time.Time, collapsed bool) {
	v.collapsed = collapsed || v.Collapsed()
	v.doubtAt = now
}

// ControlLost notes that the control connection ended.
func (v *Link) ControlLost(now time.Time) { v.noCtlAt = now }

// Proven notes that a ping sent at that time was answered.
func (v *Link) Proven(sent time.Time) {
	if sent.After(v.provenAt) {
		v.provenAt = sent
	}
}

// Doubtful means that a connection has ended, and no ping sent since was answered. What is merely heard proves nothing: it may have
// been on its way while the peer's process died.
func (v *Link) Doubtful() bool { return v.doubtAt.After(v.provenAt) }

// Collapsed is Doubtful where all connections of a transport have ended: the peer's process has most likely.
func (v *Link) Collapsed() bool { return v.collapsed && v.Doubtful() }

// Look is what there is to be seen of a link at one tick.
type Look struct {
	// Silence is how long ago the peer was heard, RTT the round trip; 0: not known.
	Silence, RTT time.Duration
	// Control: there is a control connection.
	Control bool
	// Elsewhere: another link to the same peer takes streams.
	Elsewhere bool
}

// Observe takes one tick. It returns how long this process itself was paused (stopped, starved), which is not the peer's silence.
func (v *Link) Observe(now time.Time, look Look) (State, time.Duration) {
	var paused time.Duration
	if late := now.Sub(v.lastTick) - Tick; late > pauseSlack {
		paused = late
		v.heardAt = v.heardAt.Add(late)
		if !v.noCtlAt.IsZero() {
			v.noCtlAt = v.noCtlAt.Add(late)
		}
		if v.Doubtful() {
			v.doubtAt = v.doubtAt.Add(late)
		}
	}
	v.lastTick = now
	if at := now.Add(-look.Silence); at.After(v.heardAt) {
		v.heardAt = at
	}
	if look.Control {
		v.noCtlAt = time.Time{}
	}
	if look.RTT > 0 {
		v.rtt = look.RTT
	}
	switch {
	case v.Verdict(now) != nil:
		v.state = Dead
	case v.Silence(now) >= max(SuspectAfter, SuspectRTTs*v.rtt), v.Collapsed() && look.Elsewhere:
		v.state = Suspect
	default:
		v.state = Alive
	}
	return v.state, paused
}

// Verdict is why the link is dead; nil: it is not.
func (v *Link) Verdict(now time.Time) error {
	quiet := v.Silence(now).Round(time.Millisecond)
	since := now.Sub(v.doubtAt)
	switch {
	case quiet >= DeadAfter:
		return fmt.Errorf("nothing heard for %v", quiet)
	case v.Collapsed() && min(v.Silence(now), since) >= max(GoneAfter, goneRTTs*v.rtt):
		return fmt.Errorf("connections have ended, and nothing was heard on the others for %v", quiet)
	case !v.noCtlAt.IsZero() && now.Sub(v.noCtlAt) >= NoControlAfter:
		return fmt.Errorf("no control connection for %v", NoControlAfter)
	}
	return nil
}
