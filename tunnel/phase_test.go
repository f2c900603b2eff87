package tunnel

import (
	"testing"
	"time"
)

// TestPhase is the table of states and events: what is sent, and what the link is good for afterwards.
func TestPhase(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	soon := start.Add(time.Second)
	late := soon.Add(lastResortFor)
	states := map[string]func(p *phase){
		"new":      func(*phase) {},
		"asked":    func(p *phase) { p.heardGoAway(start, false) },
		"asking":   func(p *phase) { p.askAway("r") },
		"replaced": func(p *phase) { p.replace(start, "r") },
		"leaving":  func(p *phase) { p.drain("r") },
		"ended":    func(p *phase) { p.end() },
	}
	events := map[string]func(p *phase) string{
		"nothing":     func(*phase) string { return "" },
		"lane":        func(p *phase) string { return p.attach(false) },
		"control":     func(p *phase) string { return p.attach(true) },
		"ask away":    func(p *phase) string { return p.askAway("again") },
		"replace":     func(p *phase) string { return p.replace(soon, "again") },
		"drain":       func(p *phase) string { return p.drain("again") },
		"goaway":      func(p *phase) string { p.heardGoAway(soon, false); return "" },
		"peer's done": func(p *phase) string { p.heardGoAway(soon, true); return "" },
		"our done":    func(p *phase) string { p.ourDone = true; return "" },
		"retire":      func(p *phase) string { p.retire(); return "" },
		"end":         func(p *phase) string { p.end(); return "" },
	}
	type want struct {
		sent       string // the GoAway
		draining   bool
		lastResort bool // soon
		doneDue    bool // without streams
		drained    bool // once ours is told
	}
	usable := want{}
	fresh := want{sent: "again"}
	lastOne := want{draining: true, lastResort: true, doneDue: true}
	none := want{draining: true, doneDue: true}
	sent := func(w want, s string) want { w.sent = s; return w }
	told := func(w want) want { w.doneDue, w.lastResort = false, false; return w }
	peerDone := func(w want) want { w.drained = true; return w }
	over := want{draining: true}
	table := map[string]map[string]want{
		"new": {
			"nothing": usable, "lane": usable, "control": usable, "ask away": fresh, "replace": sent(lastOne, "again"),
			"drain": sent(none, "again"), "goaway": lastOne, "peer's done": peerDone(lastOne), "our done": usable, "retire": usable, "end": over,
		},
		"asked": {
			"nothing": lastOne, "lane": lastOne, "control": lastOne, "ask away": sent(lastOne, "again"), "replace": sent(lastOne, "again"),
			"drain": sent(none, "again"), "goaway": lastOne, "peer's done": peerDone(lastOne), "our done": told(lastOne), "retire": lastOne,
			"end": none,
		},
		"asking": { // that the peer is done is what was asked for: streams are opened to it as before
			"nothing": usable, "lane": usable, "control": sent(usable, "r"), "ask away": usable, "replace": lastOne,
			"drain": none, "goaway": lastOne, "peer's done": usable, "our done": usable, "retire": usable, "end": over,
		},
		"replaced": {
			"nothing": lastOne, "lane": lastOne, "control": sent(lastOne, "r"), "ask away": lastOne, "replace": lastOne,
			"drain": none, "goaway": lastOne, "peer's done": peerDone(lastOne), "our done": told(lastOne), "retire": lastOne, "end": none,
		},
		"leaving": {
			"nothing": none, "lane": none, "control": sent(none, "r"), "ask away": none, "replace": none,
			"drain": none, "goaway": none, "peer's done": peerDone(none), "our done": told(none), "retire": none, "end": none,
		},
		"ended": {
			"nothing": over, "lane": over, "control": over, "ask away": sent(over, "again"), "replace": sent(none, "again"),
			"drain": sent(none, "again"), "goaway": none, "peer's done": peerDone(none), "our done": over, "retire": over, "end": over,
		},
	}
	for state, enter := range states {
		for event, happen := range events {
			p := new(phase)
			enter(p)
			got := want{sent: happen(p)}
			got.draining, got.lastResort, got.doneDue = p.draining(), p.takesLastResort(soon), p.doneDue(0)
			if p.takesLastResort(late) {
				t.Errorf("%s, %s: a last resort for ever", state, event)
			}
			if p.doneDue(1) || p.drained(1) {
				t.Errorf("%s, %s: done with a stream left", state, event)
			}
			p.ourDone = true
			got.drained = p.drained(0)
			if expected, ok := table[state][event]; !ok || got != expected {
				t.Errorf("%s, %s: %+v, want %+v", state, event, got, expected)
			}
		}
	}
}

// TestPhaseOnce: what happens a second time is no news, and what was said on a lost control connection is said again.
func TestPhaseOnce(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	p := new(phase)
	if !p.heardGoAway(now, false) || p.heardGoAway(now, false) || p.heardGoAway(now, true) {
		t.Error("the first GoAway of a peer is the only news")
	}
	p.ourDone = true
	p.attach(true)
	if !p.doneDue(0) {
		t.Error("done may have been lost with the connection before")
	}
	if !p.end() || p.end() {
		t.Error("a link ends once")
	}
	var asking phase
	asking.askAway("r")
	if asking.heardGoAway(now, true) {
		t.Error("that a peer has done as it was asked is no GoAway of its own")
	}
}

func TestLanePhase(t *testing.T) {
	t.Parallel()
	var p lanePhase
	if p.doneDue(0) {
		t.Error("done before the lane is retired")
	}
	p.heardGoAway(false)
	if !p.retired || !p.doneDue(0) || p.doneDue(1) {
		t.Errorf("after a GoAway: %+v", p)
	}
	p.ourDone = true
	if p.doneDue(0) || p.drained(0) {
		t.Errorf("the peer is not done: %+v", p)
	}
	p.heardGoAway(true)
	if !p.drained(0) || p.drained(1) {
		t.Errorf("both are done: %+v", p)
	}
}
