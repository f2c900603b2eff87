package http

import (
	"testing"
	"time"

	"github.com/eastway/eastway/failover/balance"
)

// TestKeep: a stream counts among those that a peer serves, so that it is kept for less time.
func TestKeep(t *testing.T) {
	t.Parallel()
	endpoint, peer := target{}, target{address: balance.Address{Peer: "b"}}
	for _, c := range []struct {
		of           target
		policy, want time.Duration
	}{
		{endpoint, 0, idleTimeout},
		{endpoint, time.Hour, time.Hour},
		{endpoint, time.Second, time.Second},
		{peer, 0, streamIdleTimeout},
		{peer, time.Hour, streamIdleTimeout},
		{peer, time.Second, time.Second},
	} {
		if got := c.of.keep(c.policy); got != c.want {
			t.Errorf("%+v, policy %v: %v, want %v", c.of.address, c.policy, got, c.want)
		}
	}
	if endpoint.mostIdle() <= peer.mostIdle() {
		t.Error("as many streams as connections")
	}
}
