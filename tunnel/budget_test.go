package tunnel

import (
	"testing"

	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// TestPeerStreams: streams count for their lane and for all replicas of their peer.
func TestPeerStreams(t *testing.T) {
	t.Parallel()
	s := transport.NewBudget(1)
	a := &conn{role: tunnelpb.Hello_ROLE_LANE, budget: s}
	b := &conn{role: tunnelpb.Hello_ROLE_LANE, budget: s}
	for range maxLaneStreams {
		a.streamOpened()
	}
	if limit, _ := a.full(); limit != limitStreams {
		t.Errorf("a full lane meets %q", limit)
	}
	if limit, _ := b.full(); limit != "" || !b.admits() {
		t.Errorf("another lane meets %q", limit)
	}
	for range maxPeerStreams - maxLaneStreams {
		a.streamOpened()
	}
	if limit, _ := b.full(); limit != limitPeerStreams || !b.admits() {
		t.Errorf("at the peer's limit a stream is read and meets %q", limit)
	}
	for range maxPeerStreams {
		b.headerAwaited()
	}
	a.active.Store(0) // as if they were on many lanes
	b.opening.Store(0)
	if a.admits() || b.admits() {
		t.Error("twice as many are not read")
	}
	b.headerRead()
	a.streamClosed()
	if !a.admits() || s.Streams.Load() != 2*maxPeerStreams-2 {
		t.Errorf("%d streams are counted", s.Streams.Load())
	}
}
