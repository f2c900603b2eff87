package hostile

import (
	"context"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/eastway/eastway/discovery"
)

// A flood of calls to a Service whose endpoint leads back to it, or where none may be: each makes a connection, or two, not thousands.
func TestFloodOfLoops(t *testing.T) { //nolint:paralleltest // it measures the process
	for _, tt := range []struct {
		name string
		// endpoint is that of the Service at listener; other is another one's, whose endpoint is listener.
		endpoint func(t *testing.T, listener, other netip.AddrPort) netip.AddrPort
		proxies  []netip.Addr
		most     int // connections for a call
	}{
		{"Services in a ring", func(_ *testing.T, _, other netip.AddrPort) netip.AddrPort { return other }, nil, 1},
		{"ring through a load balancer", func(t *testing.T, listener, _ netip.AddrPort) netip.AddrPort {
			t.Helper()
			return startBalancer(t, listener)
		}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, 2},
		{"metadata service as endpoint", func(*testing.T, netip.AddrPort, netip.AddrPort) netip.AddrPort {
			return netip.MustParseAddrPort("169.254.169.254:80")
		}, nil, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			listener, other := free(t), free(t)
			one, two := discovery.ServiceName{Namespace: "loop", Name: "one"}, discovery.ServiceName{Namespace: "loop", Name: "two"}
			w := startWorld(t, &config{proxies: tt.proxies, mark: `"service":"loop/`, services: map[discovery.ServiceName]*discovery.Service{
				one: service(one, listener, tt.endpoint(t, listener, other)), two: service(two, other, listener),
			}})
			var made atomic.Int64
			w.suffer(t, &attack{name: tt.name, budget: 64 * MiB, begin: func(ctx context.Context, _ *testing.T) func() {
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() {
						for ctx.Err() == nil {
							c, err := dialFrom(ctx, attacker, listener)
							if made.Add(1); err != nil {
								continue // reset already
							}
							_, _ = io.Copy(io.Discard, c)
							_ = c.Close()
						}
					})
				}
				return wg.Wait
			}})
			t.Logf("%d calls made %d connections", made.Load(), w.victim.access.count())
			if n := int64(w.victim.access.count()); n == 0 || n > int64(tt.most)*made.Load() {
				t.Errorf("%d calls made %d connections", made.Load(), n)
			}
		})
	}
}
