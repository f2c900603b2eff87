package paths

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eastway/eastway/e2e/loopback"
	"github.com/eastway/eastway/internal/status"
)

const (
	// bulk is the size of a transfer, in bytes; request that of a call, which takes more than one packet.
	bulk, request = 10 << 20, 4 << 10
	// calls that begin after an event, one each callEvery: a lane that stands still is given up after 6 to 10 s.
	calls     = 40
	callEvery = 50 * time.Millisecond
	// held is how many connections are open when the path changes: on all lanes.
	held = 8
)

// hasLanes is nil once there is a lane of each of these transports, as --transports has them.
func hasLanes(transports string) func(status.Peer) error {
	return func(p status.Peer) error {
		var have []string
		for _, l := range p.Links {
			for i := range l.Lanes {
				if lane := &l.Lanes[i]; lane.Role == "lane" {
					have = append(have, lane.Transport)
				}
			}
		}
		for transport := range strings.SplitSeq(transports, ",") {
			if !slices.Contains(have, transport) {
				return fmt.Errorf("no lane over %s, of %v: %s", transport, have, p.LastError)
			}
		}
		return nil
	}
}

// connected is a world with lanes over these transports, in which a call was answered. The router passes packets of so many bytes.
func connected(t *testing.T, programs *loopback.Fleet, transports string, most int) *world {
	t.Helper()
	w := newWorld(t, programs, 1, replicaIP(0)+":15443")
	w.shrink(most)
	w.caller.Proxies[0].Flags = []string{"--transports", transports}
	w.start(w.peer, w.peer.Proxies[0])
	w.start(w.caller, w.caller.Proxies[0])
	w.await("lanes stand", hasLanes(transports))
	w.awaitService()
	return w
}

// smallMTU: a path that drops packets above a size, and says nothing, has lanes over both transports, and bulk passes on each.
func smallMTU(t *testing.T, programs *loopback.Fleet) {
	for _, tt := range []struct {
		mtu        int
		transports string
	}{{1300, "tcp,quic"}, {1280, "tcp,quic"}, {1280, "tcp"}, {1280, "quic"}} {
		t.Run(label(tt.mtu, tt.transports), func(t *testing.T) {
			t.Parallel()
			w := connected(t, programs, tt.transports, tt.mtu)
			for _, size := range []int{request, bulk} {
				took, err := w.call(t.Context(), size)
				if err != nil {
					t.Errorf("%d bytes each way: %v", size, err)
				}
				t.Logf("%d bytes each way in %v", size, took.Round(time.Millisecond))
			}
		})
	}
}

func label(mtu int, transports string) string {
	return fmt.Sprintf("%d-%s", mtu, strings.ReplaceAll(transports, ",", "-"))
}

// mtuShrinks: a path of 1,500 bytes drops packets above 1,300 from some moment on. Connections and fresh calls go on.
func mtuShrinks(t *testing.T, programs *loopback.Fleet) {
	for _, transports := range []string{"tcp,quic", "tcp", "quic"} {
		t.Run(label(1300, transports), func(t *testing.T) {
			t.Parallel()
			w := connected(t, programs, transports, mtu)
			if _, err := w.call(t.Context(), bulk); err != nil { // a transport that looks for the path's MTU has found it
				t.Fatal(err)
			}
			var conns []net.Conn
			for range held {
				c, err := w.dial(t.Context(), vip)
				must(t, err)
				t.Cleanup(func() { _ = c.Close() })
				must(t, echo(c, request))
				conns = append(conns, c)
			}
			w.shrink(1300)
			var wg sync.WaitGroup
			for _, c := range conns {
				wg.Go(func() {
					began := time.Now()
					if err := c.SetDeadline(began.Add(patience)); err != nil {
						t.Error(err)
					}
					if err := echo(c, request); err != nil {
						t.Errorf("a connection that was open, after %v: %v", time.Since(began), err)
					}
				})
			}
			w.load(nil)
			wg.Wait()
		})
	}
}

// load makes fresh calls at a steady rate; all have to be answered. At the first quarter of them event is called, if there is one, while none
// is under way: those may be at what ends by it.
func (w *world) load(event func()) {
	w.t.Helper()
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := time.NewTicker(callEvery)
	defer tick.Stop()
	for i := range calls {
		<-tick.C
		if event != nil && i == calls/4 {
			wg.Wait()
			event()
		}
		wg.Go(func() {
			if took, err := w.call(w.t.Context(), request); err != nil {
				w.t.Errorf("call %d, after %v: %v", i, took, err)
			}
		})
	}
}
