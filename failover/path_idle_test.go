package failover_test

import (
	"errors"
	"io"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/internal/bubble"
)

// TestIdleTimeout: a connection that carries nothing is reset at both ends, by the caller's policy or by the peer's; one that carries a
// byte now and then stays.
func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	const limit = time.Minute
	idle := &v1alpha1.TrafficPolicySpec{ConnectionPool: &v1alpha1.ConnectionPool{
		TCP: &v1alpha1.TCPSettings{IdleTimeout: &metav1.Duration{Duration: limit}},
	}}
	for name, sp := range map[string]spec{
		"the caller's policy": {policy: idle},
		"the peer's policy":   {peerPolicy: idle},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, g *simulated) {
				sp.on, sp.transport = g, "tcp"
				p := newPath(t, sp)
				client, server := p.connect()
				for range 5 {
					bubble.Pass(limit * 9 / 10)
					_, err := client.Write([]byte("x"))
					must(t, err)
					_, err = io.ReadFull(server, make([]byte, 1))
					must(t, err)
				}
				bubble.Pass(limit * 9 / 10)
				if n := p.a.proxy.Active(); n != 1 {
					t.Fatalf("%d connections before the time is over", n)
				}
				bubble.Pass(limit / 2)
				if n := p.a.proxy.Active() + p.b.proxy.Active(); n != 0 {
					t.Errorf("%d connections afterwards", n)
				}
				for end, c := range map[string]conn{"client": client, "server": server} {
					if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
						t.Errorf("the %s reads %v, want a reset", end, err)
					}
				}
				by := p.a
				if sp.peerPolicy != nil {
					by = p.b
				}
				lines := by.access.All()
				if got := lines[len(lines)-1].ContextMap()["result"]; got != access.Idle {
					t.Errorf("result %v", got)
				}
			})
		})
	}
}
