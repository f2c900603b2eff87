package admission

import (
	"testing"
	"time"
)

// All replicas of a peer may come back several times in a row, and then so many in a second; other peers have their own count.
func TestNewcomers(t *testing.T) {
	t.Parallel()
	const replicas = 64
	var n Newcomers
	now := time.Unix(1000, 0)
	for i := range MaxNewcomers {
		if wait := n.Admit("evil", now); wait != 0 {
			t.Fatalf("number %d waits %v, a peer has %d replicas", i, wait, replicas)
		}
	}
	if MaxNewcomers < 3*replicas {
		t.Errorf("%d are fewer than three restarts of all replicas", MaxNewcomers)
	}
	for range 3 { // one that is refused does not make others wait longer
		if wait := n.Admit("evil", now); wait != time.Second/NewcomerRate {
			t.Errorf("one too many waits %v", wait)
		}
	}
	if wait := n.Admit("good", now); wait != 0 {
		t.Errorf("another peer's waits %v", wait)
	}
	now = now.Add(time.Second)
	for i := range NewcomerRate {
		if wait := n.Admit("evil", now); wait != 0 {
			t.Errorf("number %d after a second waits %v", i, wait)
		}
	}
	if wait := n.Admit("evil", now); wait == 0 {
		t.Error("too many in a second")
	}
}
