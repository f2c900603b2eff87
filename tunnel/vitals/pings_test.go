package vitals

import (
	"testing"
	"time"
)

func TestPings(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	var p Pings
	seq, due := p.Due(now, time.Second)
	if !due {
		t.Fatal("first ping is not due")
	}
	if _, due := p.Due(now.Add(time.Hour), time.Second); due {
		t.Error("a second ping while the first has no answer")
	}
	p.Pong(seq+1, now.Add(time.Millisecond))
	if p.RTT() != 0 {
		t.Error("an answer to no ping was measured")
	}
	p.Pong(seq, now.Add(80*time.Millisecond))
	if p.RTT() != 80*time.Millisecond {
		t.Errorf("first sample: %v", p.RTT())
	}
	if _, due := p.Due(now.Add(900*time.Millisecond), time.Second); due {
		t.Error("due before the interval")
	}
	seq, _ = p.Due(now.Add(time.Second), time.Second)
	p.Pong(seq, now.Add(1160*time.Millisecond))
	if p.RTT() != 90*time.Millisecond {
		t.Errorf("smoothed: %v, want 90ms", p.RTT())
	}
}

// A ping that takes the place of another one is the only one whose answer counts.
func TestPingAgain(t *testing.T) {
	t.Parallel()
	var p Pings
	start := time.Now()
	first, _ := p.Due(start, 0)
	second := p.Again(start.Add(time.Second))
	if _, ok := p.Pong(first, start.Add(1010*time.Millisecond)); ok || !p.Waiting() {
		t.Error("the answer to the first ping counts")
	}
	if _, ok := p.Pong(second, start.Add(1020*time.Millisecond)); !ok || p.RTT() != 20*time.Millisecond {
		t.Errorf("srtt %v", p.RTT())
	}
}
