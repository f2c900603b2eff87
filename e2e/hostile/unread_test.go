package hostile

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

const (
	// peerMemory is the victim's budget for one peer, a sixteenth of the default.
	peerMemory = 32 * MiB
	// streams of the attacker take eight times that, at 1 MiB each.
	streams = 256
)

// A peer that sends more than an endpoint reads, on many streams, takes its budget and no more: the streams with the most are reset until
// what is left fits.
func TestPeerSendsWhatNothingReads(t *testing.T) { //nolint:paralleltest // it measures the process
	w := startWorld(t, &config{node: func(c *tunnel.Config) {
		c.PeerMemory = peerMemory
		serve := c.Handle
		c.Handle = func(in *tunnel.Incoming) {
			if in.Header().GetService() != "slow" {
				serve(in)
				return
			}
			// As the relay to an endpoint whose socket is full: that takes megabytes of the kernel's before, for each.
			if _, err := in.Accept(new(tunnelpb.Answer)); err == nil {
				<-in.Context().Done()
			}
		}
	}})
	var opened, sent atomic.Int64
	w.suffer(t, &attack{
		name: "streams that nothing reads", budget: 160 * MiB,
		begin: func(ctx context.Context, t *testing.T) func() {
			t.Helper()
			n, stop := w.join(t, evil, tunnel.Config{DisableQUIC: true}) //nolint:contextcheck // it lives on its own
			await(t, "the attacker has a tunnel", func() bool { return n.State(victim).Usable })
			junk := make([]byte, 64<<10)
			var wg sync.WaitGroup
			for range streams {
				wg.Go(func() {
					again(ctx, func() {
						h := &tunnel.Header{Namespace: "shop", Service: "slow", Port: 80, Protocol: discovery.TCP}
						s, err := n.Open(ctx, victim, h, nil)
						if err == nil {
							opened.Add(1)
						}
						for err == nil {
							var n int
							n, err = s.Write(junk)
							sent.Add(int64(n))
						}
					})
				})
			}
			await(t, "the budget is met", func() bool {
				return strings.Contains(strings.Join(w.victim.problems(), "\n"), "all memory that one peer may take")
			})
			return func() {
				stop()
				wg.Wait()
			}
		},
	})
	t.Logf("it opened %d streams and sent %d MiB", opened.Load(), sent.Load()/MiB)
}

// join starts a proxy of a cluster that the victim trusts, until stop.
func (w *world) join(t *testing.T, cluster string, cfg tunnel.Config) (n *tunnel.Node, stop func()) {
	t.Helper()
	cfg.Cluster, cfg.Credentials, cfg.Reason = cluster, w.certs[cluster].Auth, certs.Reason
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	as(t.Context(), cluster, func() {
		var err error
		if n, err = tunnel.New(ctx, cfg); err != nil {
			t.Fatal(err)
		}
		go func() { ended <- n.Run(ctx) }()
	})
	n.SetPeers([]tunnel.Peer{{Name: victim, Addresses: []string{w.victim.node.Addr().String()}}})
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return n, stop
}
