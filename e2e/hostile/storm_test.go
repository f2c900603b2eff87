package hostile

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/eastway/eastway/tunnel"
)

// replicas are as many as one peer may have.
const replicas = 64

// After a restart, to which all replicas of a peer come at once from sources that are not known any more, and while a stranger begins
// handshakes as fast as it can, each of them gets its tunnel.
func TestAllReplicasAtOnce(t *testing.T) { //nolint:paralleltest // it needs the machine
	for _, attacked := range []bool{false, true} {
		t.Run(fmt.Sprintf("attacked=%v", attacked), func(t *testing.T) {
			w := startWorld(t, &config{})
			if attacked {
				defer w.run(t.Context(), t, "flood of ClientHellos", w.victim.node.Addr().String())()
			}
			began := time.Now()
			var stops []func()
			for range replicas {
				_, stop := w.join(t, guest, tunnel.Config{})
				stops = append(stops, stop)
			}
			await(t, "all replicas have a tunnel", func() bool { return w.links(guest) == replicas })
			t.Logf("%d replicas were connected after %v", replicas, time.Since(began).Round(time.Millisecond))
			var wg sync.WaitGroup
			for _, stop := range stops {
				wg.Go(stop)
			}
			wg.Wait()
		})
	}
}

// links are how many replicas of a peer the victim has a link with.
func (w *world) links(peer string) int {
	for _, p := range w.victim.node.Status() {
		if p.Peer == peer {
			return len(p.Links)
		}
	}
	return 0
}
