package redial_test

import (
	"testing"
	"time"

	"github.com/eastway/eastway/tunnel/redial"
)

// TestPace: an attempt follows a failure by a quarter of the time without success, within bounds, and jittered.
func TestPace(t *testing.T) {
	t.Parallel()
	const most = 5 * time.Second
	for _, c := range []struct {
		failing, want time.Duration
	}{
		{0, redial.Min},
		{200 * time.Millisecond, redial.Min},
		{2 * time.Second, 500 * time.Millisecond},
		{time.Hour, most},
	} {
		for range 100 {
			var p redial.Pace
			now := time.Unix(1000, 0)
			p.Failed(now, most)
			if got := p.Failed(now.Add(c.failing), most); got < c.want/2 || got > c.want*3/2 {
				t.Fatalf("failing for %v: the next attempt after %v, want about %v", c.failing, got, c.want)
			}
		}
	}
}

// TestPaceOfWhatWorked: what works for short times is no new beginning, and the time in which it works does not count.
func TestPaceOfWhatWorked(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	var p redial.Pace
	p.Failed(now, redial.Max)
	p.Failed(now.Add(time.Minute), redial.Max)
	p.Worked(time.Second)
	if got := p.Failed(now.Add(61*time.Second), redial.Max); got < redial.Max/2 {
		t.Errorf("flapping: the next attempt after %v", got)
	}
	p.Worked(time.Hour)
	if p != (redial.Pace{}) {
		t.Error("an hour is no new beginning")
	}
	p.Failed(now, redial.Max)
	p.Worked(9 * time.Second)
	if got := p.Failed(now.Add(9200*time.Millisecond), redial.Max); got > 2*redial.Min {
		t.Errorf("it worked for 9 s of 9.2 s: the next attempt after %v", got)
	}
	p.Reset()
	if p != (redial.Pace{}) {
		t.Error("not reset")
	}
}
