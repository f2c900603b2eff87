package tunnel

import (
	"testing"
	"time"

	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// Messages of a peer.
var (
	goAway    = &tunnelpb.GoAway{Reason: "r"}
	done      = &tunnelpb.GoAway{Reason: "done", Done: true}
	doneAgain = &tunnelpb.GoAway{Reason: "done", Done: true, HeardDone: true}
)

// TestPhase is the table of states and events: what is sent, and what the link is good for afterwards.
func TestPhase(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	soon := start.Add(time.Second)
	late := soon.Add(lastResortFor)
	states := map[string]func(p *phase){
		"new":      func(*phase) {},
		"asked":    func(p *phase) { p.heardGoAway(start, goAway) },
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
		"goaway":      func(p *phase) string { p.heardGoAway(soon, goAway); return "" },
		"peer's done": func(p *phase) string { p.heardGoAway(soon, done); return "" },
		"our done":    func(p *phase) string { p.ourDone = true; return "" },
		"retire":      func(p *phase) string { p.retire(); return "" },
		"end":         func(p *phase) string { p.end(); return "" },
	}
	type want struct {
		sent       string // the GoAway
		draining   bool
		lastResort bool // soon
		doneDue    bool // without streams
		drained    bool // once ours is sent
	}
	usable := want{}
	fresh := want{sent: "again"}
	lastOne := want{draining: true, lastResort: true, doneDue: true}
	none := want{draining: true, doneDue: true}
	sent := func(w want, s string) want { w.sent = s; return w }
	sentDone := func(w want) want { w.doneDue, w.lastResort = false, false; return w }
	peerDone := func(w want) want { w.drained = true; return w }
	over := want{draining: true}
	table := map[string]map[string]want{
		"new": {
			"nothing": usable, "lane": usable, "control": usable, "ask away": fresh, "replace": sent(lastOne, "again"),
			"drain": sent(none, "again"), "goaway": lastOne, "peer's done": peerDone(lastOne), "our done": usable, "retire": usable, "end": over,
		},
		"asked": {
			"nothing": lastOne, "lane": lastOne, "control": lastOne, "ask away": sent(lastOne, "again"), "replace": sent(lastOne, "again"),
			"drain": sent(none, "again"), "goaway": lastOne, "peer's done": peerDone(lastOne), "our done": sentDone(lastOne), "retire": lastOne,
			"end": none,
		},
		"asking": { // that the peer is done is what was asked for: streams are opened to it as before
			"nothing": usable, "lane": usable, "control": sent(usable, "r"), "ask away": usable, "replace": lastOne,
			"drain": none, "goaway": lastOne, "peer's done": usable, "our done": usable, "retire": usable, "end": over,
		},
		"replaced": {
			"nothing": lastOne, "lane": lastOne, "control": sent(lastOne, "r"), "ask away": lastOne, "replace": lastOne,
			"drain": none, "goaway": lastOne, "peer's done": peerDone(lastOne), "our done": sentDone(lastOne), "retire": lastOne, "end": none,
		},
		"leaving": {
			"nothing": none, "lane": none, "control": sent(none, "r"), "ask away": none, "replace": none,
			"drain": none, "goaway": none, "peer's done": peerDone(none), "our done": sentDone(none), "retire": none, "end": none,
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

// TestPhaseOnce: what happens a second time is no news, and what was sent on a lost control connection is sent again.
func TestPhaseOnce(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	p := new(phase)
	if !p.heardGoAway(now, goAway) || p.heardGoAway(now, goAway) || p.heardGoAway(now, done) {
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
	if asking.heardGoAway(now, done) {
		t.Error("a peer's answer to GoAway counts as a GoAway of its own")
	}
}

func TestLanePhase(t *testing.T) {
	t.Parallel()
	var p lanePhase
	if p.doneDue(0) {
		t.Error("done before the lane is retired")
	}
	p.heardGoAway(goAway)
	if !p.retired || !p.doneDue(0) || p.doneDue(1) {
		t.Errorf("after a GoAway: %+v", p)
	}
	p.ourDone = true
	if p.doneDue(0) || p.drained(0) {
		t.Errorf("the peer is not done: %+v", p)
	}
	p.heardGoAway(done)
	if !p.drained(0) || p.drained(1) {
		t.Errorf("both are done: %+v", p)
	}
}

// TestFarewell: with a peer that says done again, a done that may not cover our last streams is not enough; every order of
// events comes to its end.
func TestFarewell(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		again  bool
		events string // o: our done is sent; d: the peer's done; a: the peer's done again; c: a new control connection
		due    bool   // ours is to be sent
		over   bool
	}{
		{"nothing", true, "", true, false},
		{"ours", true, "o", false, false},
		{"the peer's first", true, "d", true, false},
		{"the peer's first, then ours", true, "do", false, false},
		{"and the peer's again", true, "doa", false, true},
		{"ours first", true, "od", true, false},
		{"ours first, and again", true, "odo", false, false},
		{"ours first, and both again", true, "odoa", false, true},
		{"the peer's comes once, after ours", true, "oa", true, true},
		{"a new control connection", true, "doac", true, false},
		{"a peer of the release before: the peer's first", false, "do", false, true},
		{"a peer of the release before: ours first", false, "od", false, true},
	} {
		f := farewell{again: tt.again}
		for _, e := range tt.events {
			switch e {
			case 'o':
				if !f.due() {
					t.Errorf("%s: ours is sent and was not due", tt.name)
				}
				if got := f.say().GetGoAway(); !got.GetDone() || got.GetHeardDone() != (f.again && f.peerDone) {
					t.Errorf("%s: sent %v", tt.name, got)
				}
				f.said()
			case 'd':
				f.heard(done)
			case 'a':
				f.heard(doneAgain)
			case 'c':
				f.forget()
			}
		}
		if f.due() != tt.due || f.over() != tt.over {
			t.Errorf("%s: due %v, over %v, want %v, %v", tt.name, f.due(), f.over(), tt.due, tt.over)
		}
	}
}

// TestFarewellEnds: whatever the order in which the two sides speak and hear, both come to the end with two messages each at most.
func TestFarewellEnds(t *testing.T) {
	t.Parallel()
	for order := range 1 << 12 {
		sides := [2]farewell{{again: true}, {again: true}}
		var wires [2][]*tunnelpb.GoAway // to each side
		sent := [2]int{}
		step := func(choice int) {
			me, speak := choice&1, choice&2 != 0
			switch f := &sides[me]; {
			case speak && f.due():
				wires[1-me] = append(wires[1-me], f.say().GetGoAway())
				f.said()
				sent[me]++
			case !speak && len(wires[me]) > 0:
				f.heard(wires[me][0])
				wires[me] = wires[me][1:]
			}
		}
		for i := range 6 {
			step(order >> (2 * i))
		}
		for i := range 32 { // then everything that is due or on its way
			step(i)
		}
		if !sides[0].over() || !sides[1].over() || sent[0] > 2 || sent[1] > 2 {
			t.Fatalf("order %b: %+v, sent %v", order, sides, sent)
		}
	}
}
