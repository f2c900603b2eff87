package main

import (
	"testing"
	"time"
)

func TestGate(t *testing.T) {
	t.Parallel()
	began := time.Now()
	var g gate
	for _, step := range []struct {
		after   time.Duration
		missing []string
		ready   bool
	}{
		{0, []string{"b", "c"}, false},
		{peersGrace - 1, []string{"c"}, false},
		{peersGrace, []string{"c"}, true},
		{peersGrace + time.Second, []string{"b", "c"}, true}, // a tunnel that is lost later is not its business
	} {
		if err := g.check(began.Add(step.after), step.missing); (err == nil) != step.ready {
			t.Errorf("after %v without %v: %v", step.after, step.missing, err)
		}
	}
	var quick gate
	if err := quick.check(began, nil); err != nil {
		t.Error(err)
	}
}
