package tunnel

import (
	"time"

	"github.com/eastway/eastway/tunnel/tunnelpb"
	"github.com/eastway/eastway/tunnel/wire"
)

// opening is whether this side opens streams on a link.
type opening int

const (
	opens      opening = iota // as it likes
	lastResort                // for lastResortFor after goAwayAt, those that have no other way
	opensNone                 // none: this side goes away
)

// phase is a link's life: whether each side still opens streams on it, and what each has announced about that. It has no clock
// and does no I/O: events are its methods, which return what is to be sent. The zero value is a new link's.
//
// A link drains when either side has asked the other to open no more streams. It has drained once each side has announced
// that it has no stream left ("done", see farewell), which it does only when it opens none either.
type phase struct {
	farewell
	opening  opening
	goAwayAt time.Time // when the peer asked for it, or another link began to replace this one
	reason   string    // of the GoAway that the peer was sent; empty: none
	retired  bool      // its address is no longer the peer's: the next link with the replica replaces it
	attached bool      // had a connection
	ended    bool
	revoked  error // why it is not trusted any more
}

// attach is a new connection. What was sent on the control connection before may be lost: with a new one the GoAway,
// if there was one, is sent again, and so is done.
func (p *phase) attach(control bool) (goAway string) {
	p.attached = true
	if !control {
		return ""
	}
	p.forget()
	return p.reason
}

// askAway asks the peer to open no more streams; this side goes on opening them, as it may still have callers. It returns
// the GoAway to be sent, if that is the first.
func (p *phase) askAway(reason string) (goAway string) {
	if p.reason != "" {
		return ""
	}
	p.reason = reason
	return reason
}

// replace is askAway for a link with whose replica there is another one now. Until that has lanes, streams that have no
// other way are still opened here.
func (p *phase) replace(now time.Time, reason string) (goAway string) {
	p.avoid(now)
	return p.askAway(reason)
}

// drain is askAway, and opens no more streams.
func (p *phase) drain(reason string) (goAway string) {
	p.opening = opensNone
	return p.askAway(reason)
}

// heardGoAway is the peer's GoAway. First is true when it is the peer that goes away, and this is the first that is heard
// of it. With done, the peer has no stream left; if this side has asked for that, it is not asked for the same itself.
func (p *phase) heardGoAway(now time.Time, m *tunnelpb.GoAway) (first bool) {
	p.heard(m)
	if m.GetDone() && p.reason != "" {
		return false
	}
	first = p.goAwayAt.IsZero()
	p.avoid(now)
	return first
}

// avoid opens streams from now on only as a last resort.
func (p *phase) avoid(now time.Time) {
	if p.opening == opens {
		p.opening = lastResort
	}
	if p.goAwayAt.IsZero() {
		p.goAwayAt = now
	}
}

// retire notes that the peer is dialed elsewhere now. The link is used until there is another one.
func (p *phase) retire() { p.retired = true }

// end is the end of the link; false when it had ended before.
func (p *phase) end() bool {
	first := !p.ended
	p.ended = true
	return first
}

// draining: the link is not for new streams, except as a last resort.
func (p *phase) draining() bool { return p.ended || p.opening != opens }

// takesLastResort: the peer has asked, a moment ago, to open no more streams, and still takes those without another way.
func (p *phase) takesLastResort(now time.Time) bool {
	return p.opening == lastResort && !p.ended && !p.ourDone && now.Sub(p.goAwayAt) < lastResortFor
}

// doneDue: this side should announce that it has no stream left. Streams that the peer opened before it heard of the
// GoAway are in its own count until they have ended.
func (p *phase) doneDue(streams int) bool { return p.opening != opens && streams == 0 && p.due() }

// drained: no stream is left on either side, and none will come.
func (p *phase) drained(streams int) bool {
	return p.opening != opens && streams == 0 && p.over()
}

// lanePhase is a lane's life, likewise. Whichever side sends a GoAway on a lane, neither opens streams there any more.
type lanePhase struct {
	farewell

	retired bool
}

func (p *lanePhase) heardGoAway(m *tunnelpb.GoAway) {
	p.retired = true
	p.heard(m)
}

func (p *lanePhase) doneDue(streams int) bool { return p.retired && streams == 0 && p.due() }

func (p *lanePhase) drained(streams int) bool { return streams == 0 && p.over() }

// farewell is each side's announcement that it has no stream left and opens none ("done").
//
// A peer's done that was sent before it knew of our last streams says nothing about them: it may still hold what we sent on
// these. So a peer that can says done again once it has heard ours, and that one counts.
type farewell struct {
	again     bool // the peer says done again
	ourDone   bool // this side has announced it
	ourAgain  bool // ... after the peer's
	peerDone  bool
	peerAgain bool
}

// forget what was announced: it may be lost with a connection, so each side announces it again on the next one.
func (f *farewell) forget() { *f = farewell{again: f.again} }

func (f *farewell) due() bool { return !f.ourDone || f.again && f.peerDone && !f.ourAgain }

// say is the announcement to be sent; said notes that it was.
func (f *farewell) say() *tunnelpb.Control { return wire.GoAwayDone(f.again && f.peerDone) }

func (f *farewell) said() { f.ourDone, f.ourAgain = true, f.peerDone }

func (f *farewell) heard(m *tunnelpb.GoAway) {
	f.peerDone = f.peerDone || m.GetDone()
	f.peerAgain = f.peerAgain || m.GetDone() && m.GetHeardDone()
}

// over: nothing is left to be read on either side.
func (f *farewell) over() bool { return f.ourDone && f.peerDone && (f.peerAgain || !f.again) }
