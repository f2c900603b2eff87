package tunnel

import (
	"testing"
	"time"
)

// Streams that a peer opened before it heard of the GoAway may be on their way although none is open.
func TestDrainWaitsForWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	p := newPair(t, withHandler(echo))
	begun := time.Now()
	if err := p.b.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < drainSettle {
		t.Errorf("drained after %s, before %s", took, drainSettle)
	}
	if p.a.State("b").Usable {
		t.Error("the peer has not heard of it")
	}
}

// Without a tunnel there is nothing to wait for.
func TestDrainWithoutLinks(t *testing.T) {
	t.Parallel()
	_, b := configs(t)
	n := startNode(t, b)
	if err := n.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}
