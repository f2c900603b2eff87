package hostile

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eastway/eastway/failover"
)

// Limits of connections, below the defaults so that both ends of all of them fit into one process.
const (
	mostOpen     = 1024
	mostListener = 512
)

// An application that opens connections and keeps them, as many as it gets, takes three quarters of a limit: other applications are
// served, peers too, and it gets no connection of others'. When it is gone, so are they.
func TestOneSourceKeepsConnections(t *testing.T) { //nolint:paralleltest // it measures the process
	for _, tt := range []struct {
		name string
		// all: at all services, so that the proxy is full; else one service is.
		all  bool
		most int
	}{
		{"idle connections to a service", false, mostListener * 3 / 4},
		{"idle connections to all services", true, mostOpen * 3 / 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := startWorld(t, &config{proxy: func(c *failover.Config) {
				c.MaxConnections, c.MaxConnectionsPerListener = mostOpen, mostListener
				if tt.all {
					c.MaxConnectionsPerListener = 2 * mostOpen
				}
			}})
			var hog hog
			w.suffer(t, &attack{
				name: tt.name, budget: 128 * MiB,
				begin: func(ctx context.Context, t *testing.T) func() {
					t.Helper()
					var wg sync.WaitGroup
					for range 4 {
						wg.Go(func() { hog.take(ctx, w.called[0]) })
					}
					await(t, "it gets no more", func() bool { return hog.refused.Load() > 0 })
					return wg.Wait
				},
				meanwhile: func(t *testing.T) {
					t.Helper()
					if n := w.victim.proxy.Active(); n > tt.most+3*leastCalls {
						t.Errorf("%d connections are open", n)
					}
					pass(*attackFor / 10)
				},
			})
			t.Logf("it kept %d connections, %d were refused", hog.kept.Load(), hog.refused.Load())
			if n := hog.kept.Load(); n > int64(tt.most) {
				t.Errorf("it kept %d connections, three quarters are %d", n, tt.most)
			}
			if p := strings.Join(w.victim.problems(), "\n"); !strings.Contains(p, "their source has a quarter of all that may be open") {
				t.Errorf("status says %q", p)
			}
			if log := w.victim.log.String(); !strings.Contains(log, fmt.Sprintf("%q:%q", "source", attacker.String()+"/32")) {
				t.Errorf("the log does not say who it is: %.2000s", log)
			}
		})
	}
}

// hog opens connections.
type hog struct{ kept, refused atomic.Int64 }

// take opens one after another, until ctx ends. It sends a byte on each and awaits it: a connection that the proxy has refused is none.
func (h *hog) take(ctx context.Context, from netip.AddrPort) {
	var open []net.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for ctx.Err() == nil {
		c, err := dialFrom(ctx, attacker, from)
		if err == nil {
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			_, _ = c.Write([]byte{'x'})
			if _, err = io.ReadFull(c, make([]byte, 1)); err == nil {
				open = append(open, c)
				h.kept.Add(1)
				continue
			}
			_ = c.Close()
		}
		h.refused.Add(1)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}
